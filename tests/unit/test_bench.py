"""The table of all benchmarks says what their files say, also where we lose; ./go bench runs what it promises."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


def opened(path: Path) -> ModuleType:
    """A script as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"opened_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return opened(BENCHMARKS / "table.py")


def spread(*values: float) -> dict[str, float]:
    return {"n": len(values), "min": min(values), "median": sorted(values)[len(values) // 2], "max": max(values),
            "mean": sum(values) / len(values)}  # fmt: skip


def measured(ours: float, peer: float, *times: float) -> dict[str, Any]:
    """A result of throughput.py with one peer."""
    one = {"ours": spread(ours), "peer": spread(peer), "times": spread(*times), "dirty": False}
    part = {"here": "Some CPU, 2.13.0", "when": "2030-01-02T03:04:05", "code": "1"}
    return {"benchmark": "throughput", "targets": {"tuned": 2.0}, "date": "2030-01-02", "code": "abc", "peers": [],
            "command": "python benchmarks/throughput.py", "versions": {"torch": "2.13.0", "keras": "3.1"},
            "machine": {"cpu": "Some CPU", "note": ""}, "parts": {"tuned/keras-torch/0/ours": part},
            "summary": {"peers": {"tuned/keras-torch": one}}}  # fmt: skip


def test_each_file_has_rows_and_its_command(table: ModuleType) -> None:
    files = table.read()
    lines = table.rows(files)
    assert len(files) == len(list((BENCHMARKS / "results").glob("*.json")))
    for number, one in enumerate(files, 1):
        assert [line for line in lines if line[-1].endswith(f" [{number}]")], one["benchmark"]
        assert table.sources(files)[number - 1].startswith(f"{number}. `{one['command']}`: python 3.")
    assert all(len(line) == len(table.HEAD) and not set("|\n") & set("".join(line)) for line in lines)


def test_the_page_has_the_rows_of_the_files(table: ModuleType) -> None:
    figures = opened(BENCHMARKS / "figures.py")
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    assert figures.markdown(page) == page, "python benchmarks/figures.py"
    behind = [line for line in page.splitlines() if line.startswith("| ") and "| behind" in line]
    assert len(behind) == sum(line[5].startswith("behind") for line in table.rows(table.read())) > 0
    wrong = page.replace("| behind", "| ahead", 1)
    assert figures.markdown(wrong) == page != wrong


@pytest.mark.parametrize(
    ("times", "word", "target"),
    [((3.0, 2.5), "ahead", "reached"), ((1.4, 1.2), "ahead", "missed"), ((0.9, 1.1), "not decided", "missed"),
     ((0.5, 0.8), "behind", "missed"), ((1.8, 2.2), "ahead", "not decided"), ((0.7,), "behind, one pair", "missed")],
)  # fmt: skip
def test_a_row_says_who_is_ahead(table: ModuleType, times: tuple[float, ...], word: str, target: str) -> None:
    (line,) = table.rows([measured(120, 100, *times)])
    assert line[1:4] == ["Some CPU, native", "120", "Keras (PyTorch) 3.1, tuned: 100"]
    assert line[5:] == [word, f"2 times: {target}", "2030-01-02 [1]"]


def test_of_less_the_ratio_is_turned_over(table: ModuleType) -> None:
    assert table.inverse(spread(0.5, 1.0, 2.0)) == {"n": 3, "min": 0.5, "median": 1.0, "max": 2.0}
    score = {"sample_interval": {"low": 4.0, "high": 5.0}}
    assert [table.beside(score, other, higher=False) for other in (3, 4.5, 6)] == ["behind", "not decided", "ahead"]
    assert [table.beside(score, other, higher=True) for other in (3, 4.5, 6)] == ["ahead", "not decided", "behind"]


def test_a_training_that_never_got_there_is_not_ahead(table: ModuleType) -> None:
    found = next(one for one in table.read() if one["benchmark"] == "lenet")
    never = {name for name, one in found["summary"]["peers"].items() if one["not_reached"]["ours"]}
    lines = dict(zip(found["summary"]["peers"], table.rows([found]), strict=True))
    assert never and {lines[name][5] for name in never} == {"not decided"}
    assert all("never" in lines[name][2] and lines[name][6].endswith("missed") for name in never)


def test_an_empty_folder_is_said(table: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["table.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"expected results in .*, got none"):
        table.main()
    (tmp_path / "throughput.json").write_text(json.dumps(measured(1, 2, 0.5)))
    (tmp_path / "start.json").write_text(json.dumps({**measured(1, 2, 0.5), "benchmark": "start", "summary": {}}))
    assert table.main() == 0
    said = capsys.readouterr().out
    assert "nothing to its end yet" in said and "behind, one pair" in said, "a benchmark may have been stopped"


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """go.py, which installs nothing and starts nothing: `calls` has what it would have started."""
    module = opened(ROOT / "go.py")
    calls: list[list[str]] = []
    module.calls = calls  # type: ignore[attr-defined]

    def call(words: list[str], cwd: str = "", env: dict[str, str] | None = None) -> int:
        calls.append([str(Path(word).relative_to(BENCHMARKS)) if word.startswith(str(BENCHMARKS)) else word
                      for word in words])  # fmt: skip
        return int("explain" in " ".join(words))

    monkeypatch.setattr(module.subprocess, "call", call)
    monkeypatch.setattr(module, "project", lambda: "python")
    monkeypatch.setattr(module, "environment", lambda name, files, phases: calls.append([name]) or "python of peers")
    return module


def test_half_an_hour_is_half_an_hour(go: ModuleType) -> None:
    assert sum(minutes for minutes, _ in go.HALF_HOUR.values()) <= 30
    for name, (_, words) in go.HALF_HOUR.items():
        text = "".join((BENCHMARKS / f"{one}.py").read_text("utf-8") for one in (name, "_pages"))
        assert all(f'"{word}"' in text for word in words if word.startswith("--")), name


def test_bench_alone_leaves_the_committed_results_alone(go: ModuleType) -> None:
    assert go.bench(["--fresh"]) == 1, "one of them failed, and the others ran"
    assert go.calls[0] == [".venv-peers"]
    for (name, (_, words)), call in zip(go.HALF_HOUR.items(), go.calls[1:-1], strict=True):
        assert call == ["python", "_aside.py", "here", name, *words, "--fresh"]
    assert go.calls[-1] == ["python", "table.py", "here"]


def test_bench_by_name_and_all(go: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert go.bench(["start", "--repeats", "3"]) == 0
    assert go.calls == [["python", "start.py", "--repeats", "3"]], "no peers are installed for it"
    go.calls.clear()
    assert go.bench(["--all"]) == 1
    ran = [call[1].removesuffix(".py") for call in go.calls[1:-1]]
    assert go.calls[-1] == ["python", "table.py"] and set(go.HALF_HOUR) < set(ran)
    assert {path.stem for path in (BENCHMARKS / "results").glob("*.json")} <= set(ran)
    assert not {"ship", "ship_pairs", "figures", "measure", "table", "history"} & set(ran), "they make what ships"
    with pytest.raises(SystemExit):
        go.bench(["ship"])
    capsys.readouterr()
    go.calls.clear()
    assert go.bench(["--list"]) == 0 and not go.calls
    listed = capsys.readouterr().out
    assert re.search(r"^start +1 min ", listed, re.MULTILINE) and re.search(r"^lr  +\D", listed, re.MULTILINE)


def test_a_benchmark_aside_writes_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import _results

    ran: list[list[str]] = []

    def ran_with(path: str, run_name: str) -> None:
        ran.append([path, run_name, str(_results.RESULTS), *sys.argv])

    monkeypatch.setattr(_results, "RESULTS", _results.RESULTS)
    monkeypatch.setattr(sys, "argv", ["_aside.py", str(tmp_path), "start", "--repeats", "1"])
    aside = compile((BENCHMARKS / "_aside.py").read_text(), str(BENCHMARKS / "_aside.py"), "exec")
    monkeypatch.setattr(runpy, "run_path", ran_with)
    exec(aside, {"__name__": "__main__", "__file__": str(BENCHMARKS / "_aside.py")})
    start = str(BENCHMARKS / "start.py")
    assert ran == [[start, "__main__", str(tmp_path), start, "--repeats", "1"]]
