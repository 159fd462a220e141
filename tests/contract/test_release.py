"""A stranger's release: the wheel is built from the sdist alone, installed into an empty environment under an empty
home, used, and removed; nothing is left. PyTorch and the other dependencies are lent by this environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKED = ("pyproject.toml", "README.md", "LICENSE")  # what a build reads beside the package
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-q"]


def run(words: list[str | Path], folder: Path, home: Path) -> str:
    """What a command says, with nothing of this environment but the system's own programs: pip asks any rustc that it
    finds for its version, and rustup's writes into the home."""
    env = {"HOME": str(home), "PATH": os.defpath, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    done = subprocess.run([str(word) for word in words], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def files(folder: Path) -> set[str]:
    """All that is in a folder, links and empty folders too; not what Python compiled."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of this tree, and the wheel that was built from it."""
    top = tmp_path_factory.mktemp("release")
    tree, made, home = top / "tree", top / "made", top / "home"
    for folder in (tree, made, home):
        folder.mkdir()
    shutil.copytree(ROOT / "milestones", tree / "milestones", ignore=shutil.ignore_patterns("__pycache__"))
    for name in PACKED:
        shutil.copy(ROOT / name, tree)
    hook = f"from setuptools.build_meta import build_sdist; build_sdist({str(made)!r})"
    run([sys.executable, "-c", hook], tree, home)
    (source,) = made.glob("*.tar.gz")
    run([sys.executable, "-m", "pip", "wheel", *OFFLINE, "-w", made, source], made, home)
    (wheel,) = made.glob("*.whl")
    return source, wheel


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    source, wheel = built
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if not name.endswith("/")}
        about = {name for name in inside if name.startswith(f"milestones-{version}.dist-info/")}
        assert {"LICENSE" in name for name in about} == {True, False}
        texts = {name: archive.read(name) for name in inside - about}
    package = {str(path.relative_to(ROOT)): path for path in (ROOT / "milestones").rglob("*")
               if path.is_file() and "__pycache__" not in path.parts}  # fmt: skip
    assert set(texts) == set(package)
    assert [name for name, path in package.items() if path.read_bytes() != texts[name]] == []
    assert {Path(name).suffix for name in texts} >= {".py", ".npz", ".safetensors", ".json", ".js", ".gz"}
    with tarfile.open(source) as archive:
        given = {name.partition("/")[2] for name in archive.getnames()}
    assert set(package) | set(PACKED) <= given
    kept = {name for name in given if not name.startswith(("milestones/", "milestones.egg-info"))}
    assert kept <= {*PACKED, "", "milestones", "PKG-INFO", "setup.cfg"}


def test_a_stranger_installs_uses_and_removes_it(built: tuple[Path, Path], tmp_path: Path) -> None:
    home, folder, own = tmp_path / "home", tmp_path / "here", tmp_path / "environment"
    for made in (home, folder):
        made.mkdir()
    run([sys.executable, "-m", "venv", own], folder, home)
    scripts = own / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    packages = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder, home).strip())
    # A path in a .pth file is searched, but .pth files there are not read: an editable milestones stays out of sight.
    lent = "\n".join(sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    (packages / "lent.pth").write_text(lent + "\n", encoding="utf-8")
    before = files(own)

    run([python, "-m", "pip", "install", *OFFLINE, built[1]], folder, home)
    where = run([python, "-c", "import milestones; print(milestones.__file__)"], folder, home)
    assert Path(where.strip()).is_relative_to(own)
    assert "lenet" in run([scripts / "milestones", "list"], folder, home)
    picture = ROOT / "tests" / "pictures" / "7-paper.jpg"
    answer = json.loads(run([scripts / "milestones", "use", "lenet", picture, "--json"], folder, home))
    assert answer["answers"][0]["answer"][0]["label"] == "7"
    assert files(own) > before

    run([python, "-m", "pip", "uninstall", "-y", "-q", "--disable-pip-version-check", "milestones"], folder, home)
    assert files(own) == before
    assert not (packages / "milestones").exists(), "nor what was compiled"
    assert files(home) == set() == files(folder)
