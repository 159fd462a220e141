"""Writes sbom.json, the bill of materials (CycloneDX 1.6), of constraints.txt and what is installed beside this Python.

    python docs/sbom/make.py [--check]

Each package of constraints.txt with its version, its licence as its own metadata has it, and what it needs of the
others. With --check nothing is written: the exit code is 1 if the file is another. hashes.txt beside it has the SHA-256
of each file that an index has of these versions, PyTorch apart, of which there are several builds.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILE = HERE / "sbom.json"
REQUIRED = re.compile(r"^\s*([A-Za-z0-9._-]+)")
LONGEST = 60  # characters of a licence's name; what is longer is its text


def normal(name: str) -> str:
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """The versions of constraints.txt by normal name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line.strip() and not line.startswith("#"))
    return {normal(name): version.strip() for name, version in pairs}


def licence(name: str) -> str:
    """As the package's metadata has it: an SPDX expression, a short name, else what its classifiers say; "" unknown."""
    about = metadata.metadata(name)
    if expression := about.get("License-Expression"):
        return str(expression)
    word = str(about.get("License") or "").strip()
    if word and word.lower() != "unknown" and "\n" not in word and len(word) <= LONGEST:
        return word
    said = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    return " AND ".join(sorted(set(said) - {"OSI Approved"}))


def needed(name: str, versions: dict[str, str]) -> list[str]:
    """Which of the others a package asks for, extras included."""
    found = {normal(match[1]) for line in metadata.requires(name) or [] if (match := REQUIRED.match(line))}
    return sorted(found & versions.keys() - {name})


def bill() -> dict[str, Any]:
    """The whole document. PackageNotFoundError: a package of constraints.txt is not installed."""
    versions = pinned()
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ref = {name: f"pkg:pypi/{name}@{version}" for name, version in versions.items()}
    root = f"pkg:pypi/{about['name']}@{about['version']}"
    parts = []
    for name, version in sorted(versions.items()):
        part: dict[str, Any] = {"type": "library", "bom-ref": ref[name], "name": name, "version": version}
        if word := licence(name):
            part["licenses"] = [{"license": {"name": word}}]
        parts.append({**part, "purl": ref[name]})
    asked = [*about["dependencies"], *(one for extra in about["optional-dependencies"].values() for one in extra)]
    direct = {normal(match[1]) for line in asked if (match := REQUIRED.match(line))} & versions.keys()
    needs = [{"ref": root, "dependsOn": sorted(ref[name] for name in direct)}]
    needs += [{"ref": ref[n], "dependsOn": [ref[other] for other in needed(n, versions)]} for n in sorted(versions)]
    own = {"type": "application", "bom-ref": root, "name": about["name"], "version": about["version"], "purl": root,
           "licenses": [{"license": {"id": about["license"]}}]}  # fmt: skip
    content: dict[str, Any] = {"metadata": {"component": own}, "components": parts, "dependencies": needs}
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))  # of equal bills the same
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{number}", "version": 1}
    return {**head, **content}


def main() -> int:
    text = json.dumps(bill(), indent=1, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        return int(not FILE.exists() or FILE.read_text(encoding="utf-8") != text)
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
