"""The bill of materials and the hashes are those of constraints.txt, no more and no less."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HASHES = ROOT / "docs" / "sbom" / "hashes.txt"
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {normal(n): v for n, v in (line.split("==") for line in lines if line and not line.startswith("#"))}


def test_each_package_stands_in_the_bill_with_its_version(pinned: dict[str, str]) -> None:
    bill = json.loads((ROOT / "docs" / "sbom" / "sbom.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    parts = {part["name"]: part for part in bill["components"]}
    assert {name: part["version"] for name, part in parts.items()} == pinned
    assert all(part["purl"] == part["bom-ref"] == f"pkg:pypi/{n}@{pinned[n]}" for n, part in parts.items())
    silent = {name for name, part in parts.items() if not part.get("licenses")}
    assert silent == {"espeakng-loader"}, "each says its licence; this one's metadata has none"
    refs = {part["bom-ref"] for part in parts.values()} | {bill["metadata"]["component"]["bom-ref"]}
    assert {one["ref"] for one in bill["dependencies"]} == refs
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert {ref for some in needs.values() for ref in some} <= refs
    root = bill["metadata"]["component"]["bom-ref"]
    reached, left = {root}, [root]
    while left:
        for ref in needs[left.pop()]:
            if ref not in reached:
                reached.add(ref)
                left.append(ref)
    assert reached == refs, "nothing is pinned that nobody needs"


def test_the_bill_is_what_its_script_makes(pinned: dict[str, str]) -> None:
    for name, version in pinned.items():
        try:
            there = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            there = "none"
        if there != version:
            pytest.skip(f"{name} {version} is not installed here: {there}")
    done = subprocess.run([sys.executable, "docs/sbom/make.py", "--check"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, "python docs/sbom/make.py"


def test_each_package_but_pytorch_has_hashes(pinned: dict[str, str]) -> None:
    text = HASHES.read_text()
    found = {normal(name): version for name, version, _ in ENTRY.findall(text)}
    assert found == {name: version for name, version in pinned.items() if name != "torch"}
    rest = [line for line in ENTRY.sub("", text).splitlines() if line.strip() and not line.startswith("#")]
    assert rest == [], "nothing else: no index, no package without a hash"
    assert "://" not in text
