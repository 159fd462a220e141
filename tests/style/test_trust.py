"""No pickle and no eval: what the project's Python may not call, what its files may not be, what SECURITY.md names."""

from __future__ import annotations

import ast
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "milestones"
FILES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if not any(part.startswith((".", "build")) for part in path.relative_to(ROOT).parts)
)
MODULES = frozenset(("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "dbm",
                     "copyreg", "yaml", "code", "codeop", "jsonpickle"))  # fmt: skip
BUILTINS = frozenset(("eval", "exec", "compile", "__import__"))
# By the end of what is called, however the module is named where it stands.
CALLS = frozenset(("torch.load", "torch.save", "hub.load", "jit.load", "os.system", "os.popen", "pandas.read_pickle",
                   "pd.read_pickle", "pickle.load", "pickle.loads", "marshal.loads", "yaml.load", "builtins.eval",
                   "runpy.run_path", "builtins.exec", "subprocess.getoutput"))  # fmt: skip
LOADERS = frozenset(("import_module", "exec_module", "spec_from_file_location", "SourceFileLoader"))
ASKS = {"shell": "a shell", "allow_pickle": "pickles"}  # arguments that may only be False
# Where modules are taken by name: from tables of ours (pages, verbs, acts of the studio), and a file that the user
# names on the command line (a page, a world). Tests may.
LOADING = {f"milestones/{name}" for name in ("catalog.py", "cli.py", "studio/desk.py", "worlds/open.py",
                                             "verbs/cutting.py")}  # fmt: skip
ALLOWED = {  # what a file may call that no other may: why
    "benchmarks/_aside.py": "runpy.run_path",  # a benchmark, as ./go bench names it
    "docs/labs/check.py": "runpy.run_path",  # answers that the student names on the command line
    "tests/contract/test_documents.py": "runpy.run_path",  # blocks of code of the documentation
    "tests/unit/test_estimators.py": "pickle",  # what scikit-learn's users do with an estimator
    "tests/contract/test_tune.py": "pickle",  # to have every call of it fail
}
HEADS = {".safetensors": b"", ".npz": b"PK\x03\x04", ".gz": b"\x1f\x8b", ".png": b"\x89PNG", ".webp": b"RIFF",
         ".wav": b"RIFF", ".jpg": b"\xff\xd8\xff", ".gif": b"GIF8"}  # fmt: skip
WORDS = frozenset((".py", ".json", ".jsonl", ".md", ".txt", ".html", ".css", ".js", ".svg", ".csv", ".typed", ".sgf",
                   ".toml"))  # fmt: skip


def faults(text: str, where: str = "") -> list[str]:
    """What must not be in a piece of Python, each with its line."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: import of {name}" for name in names if name.split(".")[0] in MODULES]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            last = called.split(".")[-1]
            named = bool(node.args) and isinstance(node.args[0], ast.Constant)  # as an import of that name
            plain = called == "__import__" and named
            if last == "run_module" and not named:
                found.append(f"{node.lineno}: a module is run by {called}")
            if (called in BUILTINS and not plain) or any(
                called == name or called.endswith("." + name) for name in CALLS
            ):
                found.append(f"{node.lineno}: call of {called}")
            if last in LOADERS and where not in LOADING and not where.startswith("tests/"):
                found.append(f"{node.lineno}: a module is loaded by {called}")
            for word in node.keywords:
                if word.arg in ASKS and not (isinstance(word.value, ast.Constant) and word.value.value is False):
                    found.append(f"{node.lineno}: {called} is allowed {ASKS[word.arg]}")
        elif isinstance(node, ast.Name) and node.id in BUILTINS - {"__import__"} and isinstance(node.ctx, ast.Load):
            found.append(f"{node.lineno}: {node.id} is passed on")
    return sorted(set(found))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_python(file: Path) -> None:
    where = file.relative_to(ROOT).as_posix()
    found = faults(file.read_text(encoding="utf-8"), where)
    assert [fault for fault in found if where not in ALLOWED or ALLOWED[where] not in fault] == []


@pytest.mark.parametrize("text", [
    "import pickle", "from pickle import loads as l", "import a, marshal", "from shelve import open", "import dill.x",
    "eval('1')", "exec(x)", "compile(x, '', 'exec')", "f = eval", "map(exec, x)", "__import__(x)", "torch.load(x)",
    "torch.save(x, y)", "torch.hub.load(x)", "torch.jit.load(x)", "np.load(x, allow_pickle=True)",
    "np.load(x, allow_pickle=y)", "subprocess.run(x, shell=True)", "run(x, shell=1)", "os.system(x)", "yaml.load(x)",
    "importlib.import_module(x)", "pd.read_pickle(x)", "import builtins\nbuiltins.eval(x)",
    "runpy.run_path(x)", "runpy.run_module(x)",
])  # fmt: skip
def test_each_of_them_would_be_found(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize("text", ["re.compile('x')", "model.eval()", "torch.compile(x)",
                                  "np.load(x, allow_pickle=False)",
                                  "run(x, shell=False)", "evaluate(x)", "app.exec_()"])  # fmt: skip
def test_what_is_only_called_alike_is_not(text: str) -> None:
    assert faults(text) == []


def shipped() -> list[Path]:
    """All files of the package but those that Python makes."""
    return sorted(path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def test_shipped_files_are_what_their_names_say() -> None:
    """No pickle under another name: of each kind of file the first bytes, of texts all of them, are looked at."""
    import gzip

    from milestones.core.folder import header
    from milestones.media.npz import arrays_in

    wrong = []
    for path in shipped():
        suffix, content = path.suffix, path.read_bytes()
        if suffix in WORDS:
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                wrong.append(f"{path}: no text")
        elif suffix not in HEADS or not content.startswith(HEADS[suffix]):
            wrong.append(f"{path}: of an unknown kind")
        elif suffix == ".safetensors":
            header(path)
        elif suffix == ".npz":
            assert zipfile.is_zipfile(path) and arrays_in(path, "arrays"), "no Python objects in it"
        elif suffix == ".gz":
            gzip.decompress(content).decode("utf-8")
    assert wrong == []


def test_nothing_that_is_kept_in_the_repository_is_a_pickle() -> None:
    """Also under tests, docs and benchmarks: by the names, and by how pickles begin."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = [name for name in listed.stdout.decode().split("\0") if name]
    files = [ROOT / name for name in names] or shipped()  # without git: at least what ships
    bad = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".pyc", ".npy", ".h5", ".so", ".dll", ".exe")
    for path in files:
        if path.is_file():
            assert not path.name.endswith(bad), path
            head = path.read_bytes()[:4]
            assert not (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")), path


PROMISE = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_each_promise_of_security_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    text = re.sub(r"<!-- figures:.*?<!-- /figures -->", "", text, flags=re.DOTALL)
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| Promise", "| ---"))]
    assert len(rows) >= 12
    for row in rows:
        named = PROMISE.findall(row)
        assert named, f"no test is named for: {row}"
        for file, test in named:
            path = ROOT / file
            assert path.is_file(), f"{file} does not exist"
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert not test or (test in names and test.startswith("test_")), f"no {test} in {file}"


def test_files_that_security_names_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:benchmarks|docs|milestones)/[\w/.]+)`", text) + re.findall(r"`(\w+\.(?:txt|json))`", text)
    inside = ("lock", "facts.json", "config.json", "status.json", "report.json", "plan.json")
    assert named
    for name in named:
        assert name in inside or (ROOT / name).exists(), name
