"""export RUN: a folder with the run's weights and a model card, in ONNX and torch.export, to use elsewhere."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .words import answer, say

if TYPE_CHECKING:
    from ..trained import Trained
    from .nets import Exported

SCRIPT, SECONDS = "use.py", 60


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="a finished run: its folder, a name as lenet-3, or a page")
    parser.add_argument("--to", default="", metavar="FOLDER", help="a new folder [export, in the run's own]")
    parser.add_argument("--script", action="store_true",
                        help=f"also {SCRIPT}: one file of plain PyTorch that answers as 'use' does")  # fmt: skip
    parser.add_argument("--page", default="", help="the .py file of a page of your own")
    parser.add_argument("--runs", default="runs", help="the folder of run folders [runs]")


def run(args: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from ..catalog import load, published
    from ..core.errors import UserError

    if published(args.run):
        do = "Its files are in safetensors already"
        raise UserError("a run that was trained here", f"published weights in {args.run}", do)
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        do = "Install them: pip install 'milestones[export]'"
        raise UserError("the extra 'export'", f"no {', '.join(missing)} in this Python", do)
    trained = load(args.run, args.runs, args.page)
    target = target_of(trained, args.to)
    aside = target.with_name(f".{target.name}.part")
    try:
        aside.mkdir()
    except OSError as problem:
        do = "Remove it if no other export runs, or choose another folder with --to"
        raise UserError(f"to make the folder {aside}", problem.strerror or str(problem), do) from None
    try:
        found = filled(trained, aside, args.script)
        aside.rename(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    content = {"run": str(trained.folder), "folder": str(target), **found}
    lines = [f"{target}: {', '.join(found['files'])}"]
    lines += [
        f"{one['net'] or 'the net'} within {one['apart']:.1e} of PyTorch on 100 examples" for one in found["nets"]
    ]
    answer(args, content, "\n".join([*lines, *(f"not exported: {line}" for line in found["refused"])]))
    return 0


def target_of(trained: Trained, to: str) -> Path:
    """The new folder. UserError: it exists, there is no place for it, the run is not finished."""
    from ..catalog import SHIPPED, state_of
    from ..core.errors import UserError

    who, shipped = trained.entry.name, trained.folder.resolve().is_relative_to(SHIPPED.resolve())
    state = str(state_of(trained.folder)["state"])
    if state != "finished" and not shipped:
        do = f"Go on with it: milestones resume {trained.folder}"
        raise UserError("a finished run to export", f"one that is {state}", do, who)
    if shipped and not to:
        raise UserError("--to FOLDER for a run that comes with the program", "none", f"For example --to my-{who}", who)
    target = Path(to) if to else trained.folder / "export"
    if target.exists() or target.is_symlink():
        raise UserError("a new folder to export to", f"{target}, which exists", "Choose another with --to", who)
    if not target.parent.is_dir():
        raise UserError("--to in a folder that exists", str(target), f"Make {target.parent} first", who)
    return target


def filled(trained: Trained, folder: Path, scripted: bool) -> dict[str, Any]:
    """Write the files of an export into an empty folder; what they are, and what was refused."""
    from ..core.folder import read_json, write_json, write_weights

    report: dict[str, Any] = {}
    if (trained.folder / "report.json").is_file():
        report = read_json(trained.folder, "report.json")
    members = trained.config.get("members", 1)
    write_weights(folder / "model.safetensors", trained.model.state_dict())
    write_json(folder / "facts.json", trained.facts)
    kept = {"system": trained.entry.name, "preset": trained.config.get("preset"), "seed": trained.config.get("seed"),
            "members": members, "config": trained.knobs.model_dump(mode="json")}  # fmt: skip
    write_json(folder / "config.json", kept)
    nets, refused = in_nets(trained, folder)
    if scripted:
        refused += cut_out(trained, folder)
    text = card(trained, report, nets, refused, (folder / SCRIPT).is_file())
    (folder / "README.md").write_text(text, encoding="utf-8")
    files = sorted(path.name for path in folder.iterdir())
    return {"files": files, "nets": [one._asdict() for one in nets], "refused": refused}


def in_nets(trained: Trained, folder: Path) -> tuple[list[Exported], list[str]]:
    """The page's nets in ONNX and torch.export, and those that cannot be, with the reason."""
    from ..core.errors import UserError
    from .nets import EXAMPLES, MOST, Refused, exported, outermost
    from .subject import prepared

    found, refused = list[Any](), list[str]()
    try:
        if trained.system.loss is None:
            raise Refused("its page has no loss that calls a net on a batch")
        say("reading the run's data, for examples to check with")
        data = prepared(trained)
        sources = [getattr(data, part, None) for part in ("test", "train")]
        source = next((one for one in sources if hasattr(one, "sweep") and len(one) >= EXAMPLES), None)
        if source is None:
            raise Refused(f"its data have fewer than {EXAMPLES} examples to check with")
        called = outermost(trained, next(iter(source.sweep(EXAMPLES))))
    except (Refused, UserError) as problem:
        return [], [f"ONNX and torch.export: {problem}"]
    labels = [str(label) for label in trained.facts.get("labels") or ()]
    for net in called[:MOST]:
        try:
            found.append(exported(net, folder, labels))
        except Refused as problem:
            refused.append(f"{net.name or 'the net'} in ONNX and torch.export: {problem}")
    if len(called) > MOST:
        refused.append(f"{len(called) - MOST} more nets in ONNX and torch.export: only the first {MOST} are")
    return found, refused


def cut_out(trained: Trained, folder: Path) -> list[str]:
    """Write the script and start it once without this package; the reason where there can be none."""
    from .cutting import Uncut, script

    name = trained.entry.name
    doc = (f"{name}: answers for files of yours, in plain PyTorch.\n\nCut out of milestones (Apache-2.0). Needs "
           f"torch, numpy, pillow, safetensors; model.safetensors and facts.json beside it."
           f"\n\n    python {SCRIPT} FILE ...\n")  # fmt: skip
    path = folder / SCRIPT
    try:
        path.write_text(script(trained, doc), encoding="utf-8")
        words = [sys.executable, "-I", "-B", "-c", ALONE, str(path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise Uncut(
                f"the script does not run alone ({(done.stderr.strip().splitlines() or ['no word'])[-1][:160]})"
            )
    except (Uncut, subprocess.TimeoutExpired) as problem:
        path.unlink(missing_ok=True)
        return [f"{SCRIPT}: {problem}"]
    return []


# Runs a script as its own program in a Python where this package cannot be imported.
ALONE = """import runpy, sys
sys.modules["milestones"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")"""


def card(trained: Trained, report: Mapping[str, Any], nets: Sequence[Exported], refused: Sequence[str],
         scripted: bool) -> str:  # fmt: skip
    """The model card: what the run is, what it scored, what it learned from, how to load it."""
    from ..catalog import fields, page

    name, told = trained.entry.name, fields(page(trained.entry).__doc__ or name_of(trained))
    data = trained.facts.get("data") or {}
    scores = report.get("scores") or {}
    rows = [
        f"| {what} | {one['value']:.4g} ({one['low']:.4g} to {one['high']:.4g}) | {one['unit']} | "
        f"{one['data']}, {one['split']}, {one['over']:,} |"
        for what, one in scores.items()
    ]
    table = ["| score | value (95 % interval) | unit | data, part, examples |", "|---|---|---|---|", *rows]
    labels = trained.facts.get("labels") or ()
    parts = [
        "---\nlibrary_name: pytorch\nlicense: other\nlicense_name: see-below\ntags:\n- milestones\n"
        f"- {name}\n---\n\n# {told['title']}\n",
        "\n\n".join(f"{key.capitalize()}: {told[key]}." if not told[key].endswith(".") else
                    f"{key.capitalize()}: {told[key]}" for key in ("paper", "idea", "deviations") if key in told),
        "## Measured\n\n" + ("\n".join(table) if rows else "This run has no measured scores."),
        f"Preset `{trained.config.get('preset')}`, seed {trained.config.get('seed')}, "
        f"{report.get('steps', '?')} updates, {report.get('seconds', '?')} s on {report.get('device', '?')}.",
        f"## Data\n\n{data.get('name', 'made by the page itself')}. {data.get('note', '')}".rstrip(),
        "## Licence\n\nThe code is under the Apache License 2.0. No licence is given here for the weights: whoever "
        "trained them says it, within what the licence of the data allows.",
        "## In this folder\n\n`model.safetensors`: the weights; `config.json`: the settings; `facts.json`: what the "
        "net needs of the data (labels, sizes, mean).",
    ]  # fmt: skip
    if nets:
        parts.append("## ONNX and torch.export\n\nRaw values go in: normalisation is inside. B is free. Each was "
                     "compared with PyTorch on 100 examples in batches of two sizes.")  # fmt: skip
        parts += [f"- `{'`, `'.join(one.files)}`: {'; '.join(one.inputs)} gives {'; '.join(one.outputs)}; largest "
                  f"difference {one.apart:.1e}" for one in nets]  # fmt: skip
        after = "the softmax of its last dimension are the chances of the labels in `facts.json`; " * bool(labels)
        way = f"the page `{name}` do it" + f", which `{SCRIPT}` has" * scripted
        parts.append(
            f"Steps outside of the net: {after}a file of yours becomes its input as `read` and `use` of {way}."
        )
        file = nets[0].files
        parts.append(f'```python\nimport onnxruntime\nsession = onnxruntime.InferenceSession("{file[1]}")\n\n'
                     f'import torch\nnet = torch.export.load("{file[0]}").module()\n```')  # fmt: skip
    if scripted:
        parts.append(f"## Use\n\n`python {SCRIPT} FILE ...` needs torch, numpy, pillow and safetensors alone, and "
                     "answers in JSON.")  # fmt: skip
    if refused:
        parts.append("## Not exported\n\n" + "\n".join(f"- {line}" for line in refused))
    return "\n\n".join(parts) + "\n"


def name_of(trained: Trained) -> str:
    """The title of a page without a docstring."""
    return trained.entry.showed
