"""Writes the measured figures into README.md, docs/ and the pages, or checks that they are what was measured.

    python benchmarks/figures.py [--check]

It reads results/*.json, and the reports of the runs that ship. In a Markdown file it replaces what stands between
`<!-- figures:NAME -->` and `<!-- /figures -->` (NAME: a key of BLOCKS or of SHIPPED, or `benchmarks` for the table of
all); in a page's docstring the text of the field Result. With --check nothing is written: the difference is printed
and the exit code is 1.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import math
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BLOCK = re.compile(r"(<!-- figures:(\w+) -->\n)(.*?)(<!-- /figures -->)", re.DOTALL)
RESULT = re.compile(r"^(Result {6})(.*?)(?=^\S|^\"\"\"|\Z)", re.MULTILINE | re.DOTALL)
PAGES = {
    "perceptron": ["perceptron"],
    "roman": ["roman"],
    "parity": ["parity"],
    "mlp": ["mlp"],
    "lenet1989": ["lenet1989 paper", "lenet1989 modern"],
    "lenet": ["lenet"],
    "zipcode": ["zipcode"],
    "alexnet": ["alexnet"],
    "depth": ["depth"],
    "resnet": ["resnet", "resnet fashion", "resnet fashion long"],
}
ELSEWHERE = {"adversarial": "nets", "scenes": "pages"}  # pages with a benchmark of their own: what its summary has
SEQUENCES = ("dynamics", "lstm", "sounds", "speech", "translator", "captions", "frames", "eeg", "transformer")
SHIPPED = {"shipped": SEQUENCES, "shipped_texts": ("gpt", "charrnn", "words", "vectors", "memory", "logic", "stack"),
           "shipped_worlds": ("reinforce", "ppo", "dqn", "pqn", "worldmodel", "driver"),
           "shipped_games": ("alphazero", "alphago"),
           "shipped_drawn": ("autoencoder", "dbn", "circuit", "gan", "vae", "made", "fewshot", "bpl",
                             "flow")}  # fmt: skip
WIDTH, INDENT, MOST_LINES = 110, 12, 5
TITLES = {
    "keras-tensorflow": "Keras (TensorFlow)",
    "keras-torch": "Keras (PyTorch)",
    "lightning": "Lightning",
    "skorch": "skorch",
    "pytorch": "plain PyTorch, DataLoader",
}

Value = dict[str, Any]


def result(name: str) -> Value | None:
    """results/NAME.json, None if there is none."""
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def where(found: Value) -> str:
    """Device and date of a benchmark, for the line below its table."""
    machine = found["machine"]
    torch = found["versions"].get("torch", "?")
    parts: dict[str, list[str]] = {}
    for name, part in found["parts"].items():
        parts.setdefault(processor(part), []).append(name.partition("/")[0])
    here = plain(machine["cpu"])
    elsewhere = [f"; on {cpu}: {', '.join(names)}" for cpu, names in parts.items() if cpu != here]
    return f"{here}, {machine['cores']} cores, PyTorch {torch}, {found['date']}" + "".join(elsewhere)


def plain(cpu: str) -> str:
    """A processor's name without its marks."""
    return cpu.replace("(R)", "").replace(" Processor", "")


def processor(part: Value) -> str:
    """What a part was measured on."""
    return plain(part["here"].rpartition(", ")[0])


def number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def main_score(page: Value) -> tuple[str, Value]:
    """The error, or the first score of a page that has none."""
    scores = page["scores"]
    name = "error" if "error" in scores else next(iter(scores))
    return name, scores[name]


def others(page: Value) -> list[tuple[str, Value]]:
    """The scores of the page's net beside its main one, in its unit; not those of other methods (error_...)."""
    main, first = main_score(page)
    return [(name, score) for name, score in page["scores"].items()
            if name != main and not name.startswith(f"{main}_") and score["unit"] == first["unit"]]  # fmt: skip


def told(name: str, score: Value) -> str:
    """One score in words: its value, both intervals, its data."""
    unit = score["unit"]
    unit = f" {unit}" if unit else ""
    seeds, n = score["seed_interval"], score["seeds"]["n"]
    between = f"seeds {number(max(0.0, seeds['low']))} to {number(seeds['high'])}, " if seeds else ""
    sample = score["sample_interval"]
    several = "seeds" if n > 1 else "seed"
    return (
        f"{name} {number(score['seeds']['mean'])}{unit} (95 %: {between}test sample {number(sample['low'])} to "
        f"{number(sample['high'])}; {n} {several}) on {score['data']}"
    )


def timeline(found: Value) -> str:
    """One row a page: its first score where it was measured with several seeds, else that of the run that ships."""
    sys.path.insert(0, str(ROOT))
    from milestones.catalog import TIMELINE  # imports no torch

    rows = ["| year | system | here | on | seconds | published |", "|---|---|---|---|---|---|"]
    for entry in TIMELINE:
        page = found["summary"]["pages"].get(PAGES.get(entry.name, [""])[0])
        if page:
            name, score = main_score(page)
            value, n, edges = score["seeds"]["mean"], score["seeds"]["n"], score["sample_interval"]
            seconds = page["seconds"]["mean"]
        else:
            report = json.loads((ROOT / "milestones" / "shipped" / entry.name / "report.json").read_text("utf-8"))
            name, score = next(iter(report["scores"].items()))
            value, n, edges, seconds = score["value"], 1, score, report["seconds"]
        unit = f" {score['unit']}" if score["unit"] not in ("", "reward") else ""
        here = f"{name.replace('_', ' ')} {small(value)}{unit} ({small(edges['low'])} to {small(edges['high'])}; {n})"
        paper = "" if score.get("paper") is None else f"{small(score['paper'])}{unit}, {score['paper_data']}"
        rows.append(f"| {entry.year} | `{entry.name}` | {here} | {score['data']} | {seconds:.0f} | {paper} |")
    return "\n".join(rows)


def small(value: float) -> str:
    """A number with three digits, also where it is far below 1."""
    return number(value) if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def digits(found: Value) -> str:
    """One row a measured page: system, year, what the paper reached on which data, ours on which data."""
    sys.path.insert(0, str(ROOT))
    from milestones.catalog import TIMELINE  # imports no torch

    rows = ["| system | year | the paper | here | training |", "|---|---|---|---|---|"]
    for entry in TIMELINE:
        for part in PAGES.get(entry.name, []):
            page = found["summary"]["pages"].get(part)
            if page is None:
                continue
            name, score = main_score(page)
            paper = "-"
            if score.get("paper") is not None:
                same = score["paper_data"] == score["data"]
                paper = f"{number(score['paper'])} {score['unit']} on {score['paper_data']}" + (
                    "" if same else " (other data; not comparable)"
                )
            preset = part[len(entry.name) :].strip()
            title = f"`{entry.name}`" + (f", {preset}" if preset else "")
            seconds = page["seconds"]
            dirty = " (disturbed)" if page["dirty"] else ""
            training = f"{seconds['mean']:.1f} s ± {seconds['sd']:.1f}{dirty}"
            more = "".join(
                f"; {other} {number(value['seeds']['mean'])} {value['unit']}" for other, value in others(page)
            )
            rows.append(f"| {title} | {entry.year} | {paper} | {told(name, score)}{more} | {training} |")
    return "\n".join([*rows, "", f"Mean over seeds; measured by `benchmarks/digits.py` on {where(found)}."])


def speed(found: Value) -> str:
    """One row a peer: seconds to the target as documented and as tuned, and how many times faster we are."""
    summary = found["summary"]["peers"]
    out = []
    for cpu in dict.fromkeys(key.split("/")[0] for key in summary):
        out += [
            f"| {cpu} | documented, s | ours is faster by | tuned alike, s | ours is faster by |",
            "|---|---|---|---|---|",
        ]
        ours = {}
        for peer, title in TITLES.items():
            cells = []
            for column in ("documented", "tuned"):
                value = summary.get(f"{cpu}/{column}/{peer}")
                if value is None:
                    cells += ["not measured", "-"]
                    continue
                missing, times = value["not_reached"]["peer"], value["times"]
                bound = "at least " if missing else ""
                dirty = " (disturbed)" if value["dirty"] else ""
                over = value["peer"]["n"]
                note = f" ({missing} of {over} not reached)" if missing else ""
                deviation = f" ± {value['peer']['sd']:.1f}" if over > 1 else " (one seed)"
                pairs = f" ({times['min']:.2f} to {times['max']:.2f})" if over > 1 else ""
                cells += [
                    f"{bound}{value['peer']['mean']:.1f}{deviation}{note}{dirty}",
                    f"{bound}{times['mean']:.2f}{pairs}",
                ]
                ours.setdefault(column, []).append(value)
            if cells != ["not measured", "-"] * 2:
                out.append(f"| {title} | {' | '.join(cells)} |")
        means = {c: sum(v["ours"]["mean"] for v in values) / len(values) for c, values in ours.items()}
        missing = sum(v["not_reached"]["ours"] for values in ours.values() for v in values)
        told_missing = f"; {missing} runs of ours did not reach it" if missing else ""
        out += [
            "",
            "Ours: "
            + ", ".join(f"{mean:.1f} s beside the {column} ones" for column, mean in means.items())
            + told_missing
            + ".",
            "",
        ]
    note = f" ({found['machine']['note']})" if found["machine"]["note"] else ""
    seeds = len(found["seeds"])
    out += [*found["summary"]["verdict"], ""] if found["summary"].get("verdict") else []
    return "\n".join(
        [
            *out,
            f"LeNet-5 on Fashion-MNIST, seconds to {found['target']:g} % validation error, mean ± sd of {seeds} seeds, "
            f"each peer in turns with ours, smallest and largest pair; `benchmarks/lenet.py` on {where(found)}{note}.",
        ]
    )


def overhead(found: Value) -> str:
    rows = ["| | ours, µs a step | bare PyTorch | ours / bare (all pairs) | target |", "|---|---|---|---|---|"]
    for key, value in found["summary"]["cases"].items():
        ratio = value["ratio"]
        word = "reached" if ratio["median"] <= found["target"] else "missed"
        rows.append(
            f"| {key} | {value['ours']['median']:.0f} | {value['bare']['median']:.0f} | {ratio['median']:.3f} "
            f"({ratio['min']:.3f} to {ratio['max']:.3f}) | {found['target']:.2f}: {word} |"
        )
    return "\n".join([*rows, "", f"Medians; `benchmarks/overhead.py` on {where(found)}."])


def start(found: Value) -> str:
    rows = ["| | median | smallest to largest | target |", "|---|---|---|---|"]
    for name, value in found["summary"]["commands"].items():
        shown, target = value.get("above_bare", value["median"]), value["target"]
        word = "" if target is None else f"{target} {value['unit']}: {'reached' if shown <= target else 'missed'}"
        title = name + (", above a bare Python" if "above_bare" in value else "")
        rows.append(f"| `{title}` | {shown:.0f} {value['unit']} | {value['min']:.0f} to {value['max']:.0f} | {word} |")
    return "\n".join([*rows, "", f"`benchmarks/start.py` on {where(found)}."])


def photos(found: Value) -> str:
    """What was measured on the folder of 60,000 photographs: a row a part."""
    parts, rows = found["summary"]["parts"], ["| | measured |", "|---|---|"]
    if part := parts.get("files"):
        word = "reached" if part["scan"] <= part["target"] else "missed"
        rows.append(f"| {part['files']:,} files scanned | {part['scan']:.1f} s ({part['target']:g} s: {word}) |")
        rows.append(f"| read and decoded once; begun again | {part['first']:.1f} s; {part['again']:.1f} s |")
    for name, title in TRAINED.items():
        if part := parts.get(name):
            kind, score = main_score(part)
            share = f", {part['peak_share']:.0f} % of the measured peak" if part.get("peak_share") else ""
            error = "" if name in ("wide", "large") else f"{told(kind, score)}; "
            title = title.format(steps=part["steps"])
            rows.append(f"| {title} | {error}{part['seconds']['mean']:.0f} s, {part['rate']:,} examples/s{share}, "
                        f"{part['peak_mb']:,} MB |")  # fmt: skip
    if part := parts.get("transfer"):
        each = [f"{kind} {number(part[key]['mean'])} % ({number(part[key]['min'])} to {number(part[key]['max'])})"
                for key, kind in (("tuned", "tuned"), ("scratch", "from scratch"))]  # fmt: skip
        several = "seed" if part["tuned"]["n"] == 1 else "seeds"
        rows.append(f"| 3,000 photographs of five classes, a net of five others to begin with | error "
                    f"{', '.join(each)}; {part['tuned']['n']} {several} |")  # fmt: skip
    return "\n".join(
        [*rows, "", f"CIFAR-10 as 60,000 recompressed JPEG files; `benchmarks/photos.py` on {where(found)}."]
    )


def throughput(found: Value) -> str:
    """One row a peer and column: pictures a second, ours beside the peer's."""
    rows = ["| | ours, pictures/s | peer | ours / peer | target |", "|---|---|---|---|---|"]
    for key, value in found["summary"]["peers"].items():
        column, _, peer = key.partition("/")
        target, times = found["targets"][column.rpartition(" ")[2]], value["times"]
        word = "reached" if times["min"] >= target else "missed" if times["max"] < target else "not decided"
        dirty = " (disturbed)" if value["dirty"] else ""
        rows.append(
            f"| {TITLES[peer]}, {column}{dirty} | {value['ours']['mean']:.0f} | {value['peer']['mean']:.0f} | "
            f"{times['mean']:.2f} ({times['min']:.2f} to {times['max']:.2f}) | {target:g}: {word} |"
        )
    pairs = min(value["ours"]["n"] for value in found["summary"]["peers"].values())
    turns = "one turn of each" if pairs == 1 else f"{pairs} turns of each"
    told = f"and `alexnet small` as one tower; pictures of 32 x 32 in colour, batches of 128; {turns}"
    return "\n".join(
        [*rows, "", f"A residual net, eight layers at width 64, {told}; `benchmarks/throughput.py` on {where(found)}."]
    )


def searching(found: Value) -> str:
    """Simulations a second, and how many times as many as those of a peer."""
    names = {
        "bare/puct, 256 games": "bare tree, PUCT, one core", "bare/gumbel, 256 games": "bare tree, Gumbel, one core",
        "bare/puct, 256 games, avx2": "bare tree, PUCT, one core, held to AVX2",
        "play/native, bfloat16": "self-play, bfloat16", "play/native, float32": "self-play, float32",
        "play/avx2, float32": "self-play, float32, held to AVX2",
        "play/go7, bfloat16": "self-play of go on 7 x 7, bfloat16",
        "play/go7, avx2, float32": "self-play of go on 7 x 7, float32, held to AVX2",
        "bare/openspiel, C++": "OpenSpiel's bare tree in C++, random games for a net, one core",
        "bare/openspiel, Python": "OpenSpiel's bare tree in Python, one core",
        "bare/alpha-zero-general": "alpha-zero-general's bare tree, one core",
        "play/openspiel, documented": "OpenSpiel's self-play, its own net",
        "play/openspiel, tuned": "OpenSpiel's self-play, our net",
        "play/alpha-zero-general, tuned": "alpha-zero-general's self-play, our net",
    }  # fmt: skip
    rows = headed("connect four", "simulations/s", "ours are so many times as many", "target")
    for key, name in names.items():
        rate = found["summary"]["rates"].get(key)
        if rate is None:
            continue
        mine = "bare/puct, 256 games" if key.startswith("bare") else "play/native, bfloat16"
        times = found["summary"]["times"].get(f"{mine} to {key}")
        least = found["targets"].get(key.split("/")[1].split(",")[0], 0) if times and key.startswith("play") else 0
        wanted = found["targets"].get(key) or (found["targets"]["bare"] if name.startswith("bare") else 0)
        word = f"{wanted:,.0f}: {'reached' if rate['mean'] >= wanted else 'missed'}" if wanted else ""
        word = f"{least:g} times: {'reached' if times['min'] >= least else 'missed'}" if least else word
        dirty = " (disturbed)" if rate["dirty"] else ""
        rows.append(f"| {name}{dirty} | {rate['mean']:,.0f} | {range_of(times) if times else ''} | {word} |")
    told = "A net of 4 blocks of 48 channels, 64 simulations a move; peers ask it for one position at a time"
    return "\n".join([*rows, "", f"{told}; `benchmarks/search.py` on {where(found)}."])


def processes(found: Value) -> str:
    """One row a page: an update by several processes, beside what the formula says; and by two against one."""
    summary, counts = found["summary"], ("1", "2", "4")
    alpha, beta = summary["alpha"], summary["beta"]
    rows = headed("batch of 128", "a, ms", "b, us an example", "G, MB", *(f"{n} at once, ms (formula)" for n in counts),
                  "two against one with both cores")  # fmt: skip
    for page, one in summary.items():
        if not isinstance(one, dict):
            continue
        cells = []
        for n in counts:
            N, most = int(n), max(1, int(n) / found["machine"]["cores"])
            said = (one["fixed"] + 128 * one["slope"] / N) * most + 2 * (N - 1) * (alpha + one["bytes"] / (N * beta))
            cells.append(f"{1000 * one['updates'][n]:.1f} ({1000 * said:.1f})")
        times = one["against_threads"]
        word = f" (at least 0.8: {'reached' if times >= 0.8 else 'missed'})" if page == "resnet" else ""
        rows.append(f"| `{page}` | {1000 * one['fixed']:.1f} | {1e6 * one['slope']:.0f} | {one['bytes'] / 1e6:.2f} | "
                    f"{' | '.join(cells)} | {times:.2f} times as fast{word} |")  # fmt: skip
    told = f"alpha {1e6 * alpha:.0f} us, beta {beta / 1e9:.2f} GB/s over loopback"
    return "\n".join([*rows, "", f"{told}; `benchmarks/many.py` on {where(found)}."])


def ablations(found: Value) -> str:
    """One row an idea of AlexNet's that was left out."""
    rows = ["| AlexNet, preset `small` | error, % | weights |", "|---|---|---|"]
    for name, part in found["summary"]["parts"].items():
        error, n = part["error"], part["seeds"]
        between = f" ({number(error['min'])} to {number(error['max'])})" if n > 1 else ""
        seeds = "1 seed" if n == 1 else f"{n} seeds"
        rows.append(f"| {name}, {seeds} | {number(error['mean'])}{between} | {part['parameters']:,} |")
    told = "one standard error of the test sample is 0.5 points or less, that of the seeds comes on top"
    return "\n".join([*rows, "", f"CIFAR-10 (recompressed), {told}; `benchmarks/ablations.py` on {where(found)}."])


def rates(found: Value) -> str:
    """One row a page: what the study of the learning rate suggests, and how it fares against the grid."""
    rows = ["| | updates | lowest loss of the grid | suggested | loss there | within 10 % | cost |",
            "|---|---|---|---|---|---|---|"]  # fmt: skip
    summary = found["summary"]
    for name, page in summary["pages"].items():
        ratios = [math.inf if ratio is None else 100 * ratio - 100 for ratio in page["ratios"]]
        given = [rate for rate in page["rates"] if rate is not None]
        between = f"{min(given):.2g} to {max(given):.2g}" if given else "none"
        ends = ["diverged or none" if end == math.inf else f"{end:+.0f} %" for end in (min(ratios), max(ratios))]
        cost = (
            f"{100 * page['share']['mean']:.0f} %, in seconds {100 * page['share_seconds']['mean']:.0f} %"
            if given
            else ""
        )
        rows.append(
            f"| `{name}` | {page['updates']:,} | {page['best_loss']:.3g} at {page['best_rate']:.2g} | "
            f"{between} | {' to '.join(dict.fromkeys(ends))} | {page['hits']} of {page['studies']} | {cost} |"
        )
    seeds = f"{found['seeds']} seed" + "s" * (found["seeds"] > 1)
    total = (
        f"{summary['hits']} of {summary['studies']} studies, {summary['percent']:.0f} % (95 %: {summary['low']:.0f} to "
        f"{summary['high']:.0f} %), end within 10 % of the grid's lowest validation loss"
    )
    scale = "" if found["scale"] == 1 else f"; trainings of {found['scale']:g} times the preset's updates"
    return "\n".join([*rows, "", f"{total}; {seeds} at each rate{scale}; `benchmarks/lr.py` on {where(found)}."])


def faults(found: Value) -> str:
    """One row a half of the faults, one of healthy trainings, and which faults were missed."""
    summary, titles = found["summary"], {"open": "in view while the rules were made", "held": "held back, tried once"}
    rows = ["| faults | put in | found (95 %) | named first |", "|---|---|---|---|"]
    for half, title in titles.items():
        if part := summary.get(half):
            rows.append(f"| {title} | {part['faults']} | {part['found']}: {part['recall']:.0f} % ({part['low']:.0f} to "
                        f"{part['high']:.0f}) | {part['named_first']} |")  # fmt: skip
    missed = [f"{name} ({page})" for name, page in summary["missed"]]
    healthy = summary["healthy"]
    told = f"Healthy trainings: {healthy['trainings']}, with alarms: {healthy['alarms']}"
    told += f" ({'; '.join(key.removeprefix('healthy, ') for key in healthy['which'])})." if healthy["which"] else "."
    told += f" Missed: {', '.join(missed) or 'none'}."
    return "\n".join([*rows, "", f"{told} One seed each; `benchmarks/faults.py` on {where(found)}."])


def doctor(found: Value) -> str:
    """One row a page: what the doctor's looks and questions cost."""
    rows = ["| | a step, ms | a look more, ms | looks in a run | share of the training | questions, s |",
            "|---|---|---|---|---|---|"]  # fmt: skip
    for name, page in found["summary"]["pages"].items():
        stages = list(page["stages"].values())
        cells = [", ".join(f"{stage[key]:.{digits}f}" for stage in stages) or "none"
                 for key, digits in (("step_ms", 1), ("look_ms", 1), ("looks", 0))]  # fmt: skip
        dirty = " (disturbed)" if page["dirty"] else ""
        rows.append(f"| `{name}`{dirty} | {' | '.join(cells)} | {page['share']:.1f} % | "
                    f"{page['questions_seconds']:.2f} |")  # fmt: skip
    return "\n".join([*rows, "", f"Preset `quick`; medians; `benchmarks/doctor.py` on {where(found)}."])


def ensemble(found: Value) -> str:
    """One net beside many that answer as one."""
    lenet, table = found["summary"]["lenet"], found["summary"]["table"]
    rows = ["| LeNet, Fashion-MNIST | accuracy, % | log loss | calibration error, % | training, s |",
            "|---|---|---|---|---|"]  # fmt: skip
    for kind, title in (("one", "one net"), ("members", f"{found['members']} nets")):
        part = lenet[kind]
        rows.append(f"| {title} | {part['accuracy']['mean']:.2f} | {part['log_loss']['mean']:.4f} | "
                    f"{part['calibration_error']['mean']:.2f} | {part['seconds']['mean']:.0f} |")  # fmt: skip
    cells = []
    for key in ("accuracy", "log_loss", "calibration_error", "cost"):
        target = lenet["targets"][key]
        value = lenet["cost"] if key == "cost" else lenet["members"][key]["mean"]
        reached = value >= target if key == "accuracy" else value <= target
        cells.append(f"{target:g}: {'reached' if reached else 'missed'}")
    cells[3] = f"{lenet['cost']:.1f} times one net's; {cells[3]}"
    rows.append(f"| targets | {' | '.join(cells)} |")
    at = lenet["members"]["at_1"][0]
    told = f"{found['members']} nets on a table, trained as one batched net: {table['cost']:.1f} times one's cost."
    if at:
        told += (f" Asked for at most 1 % errors, the LeNets answer {at['answered']:.0f} % of the test pictures, "
                 f"{at['error']:.2f} % of them wrong.")  # fmt: skip
    seeds = len(lenet["members"]["seeds"])
    disturbed = lenet["one"]["dirty"] or lenet["members"]["dirty"]
    dirty = ", while other programs took processor time" * disturbed
    told += f" `milestones {' '.join(lenet['members']['words'])}`, {seeds} seed{'s' * (seeds > 1)}{dirty}"
    return "\n".join([*rows, "", f"{told}; `benchmarks/ensemble.py` on {where(found)}."])


TRAINED = {
    "cifar": "`resnet --preset photos-long`, {steps:,} updates",
    "longest": "`resnet --preset photos-longest`, {steps:,} updates",
    "wide": "`resnet` at width 64, 60 updates",
    "large": "`alexnet` at 224 pixels, batch 64",
}


def range_of(ratio: Value) -> str:
    """A ratio of one run: the median, and the smallest and largest pair."""
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def headed(*names: str) -> list[str]:
    """The first two lines of a table."""
    return ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]


DIRTY = " While other programs took processor time;"


def attacks(found: Value) -> str:
    rows = [
        "| | peer | ours, s | peer / ours (all pairs) | misled, ours and peer | target |",
        "|---|---|---|---|---|---|",
    ]
    for key, one in found["summary"].get("speed", {}).items():
        column, name, peer = key.split("/")
        kind, got = name.partition(",")[0], one["found"]
        least = found["targets"][kind] if (kind, peer) != ("DeepFool", "foolbox") else None
        good = least is not None and one["times"]["min"] >= least and got["ours"]["success"] >= got[peer]["success"]
        word = "" if least is None else f"{least:g}: {'reached' if good else 'missed'}"
        rows.append(f"| {name} | {peer}, {column} | {one['ours']['median']:.2f} | {range_of(one['times'])} | "
                    f"{got['ours']['success']:.1f} and {got[peer]['success']:.1f} % | {word} |")  # fmt: skip
    agreed = [
        f"{name}: {one['ours']:.1f} % right under ours, {one['reference']:.1f} under the reference's, "
        f"{one['differ']} of {one['count']} pictures told otherwise ({one['ours_seconds']:.0f} and "
        f"{one['reference_seconds']:.0f} s)"
        for name, one in found["summary"].get("autoattack", {}).items()
    ]
    dirty = any(one["dirty"] for one in found["summary"].get("speed", {}).values())
    note = DIRTY if dirty else ""
    more = ["", "AutoAttack: " + "; ".join(agreed) + "."] if agreed else []
    return "\n".join(
        [*rows, *more, "", f"The shipped nets, test pictures.{note} `benchmarks/attacks.py` on {where(found)}."]
    )


def explain(found: Value) -> str:
    rows = [
        "| | ours, s | documented / ours | tuned / ours | largest difference | target |",
        "|---|---|---|---|---|---|",
    ]
    for key, one in found["summary"]["cases"].items():
        if key.endswith("trust strip"):
            word = "reached" if one["ours"]["max"] <= 3 else "missed"
            rows.append(f"| {key}, an image | {one['ours']['median']:.2f} | | | | 3 s: {word} |")
            continue
        word = "reached" if min(one["documented"]["median"], one["tuned"]["median"]) >= found["target"] else "missed"
        times = " | ".join(range_of(one[column]) for column in ("documented", "tuned"))
        rows.append(
            f"| {key} | {one['ours']['median']:.3f} | {times} | {one['difference']:.0e} | {found['target']:g}: {word} |"
        )
    dirty = any(one["dirty"] for one in found["summary"]["cases"].values())
    note = DIRTY if dirty else ""
    return "\n".join(
        [*rows, "", f"Captum, and pytorch-grad-cam for grad-cam.{note} `benchmarks/explain.py` on {where(found)}."]
    )


def landscape(found: Value) -> str:
    rows = ["| | plane of 51 x 51, s | first view, s | five eigenvalues, s | all, s |", "|---|---|---|---|---|"]
    names = ("plane", "first_view", "eigenvalues")
    for cpu, one in found["summary"]["cases"].items():
        told = {name: "reached" if one[name]["max"] <= found["targets"][name] else "missed" for name in names}
        cells = (f"{one[name]['median']:.1f} ({found['targets'][name]:g}: {told[name]})" for name in names)
        rows.append(f"| {cpu} | {' | '.join(cells)} | {one['whole']['median']:.0f} |")
    error, dirty = found["summary"]["error"], any(one["dirty"] for one in found["summary"]["cases"].values())
    note = DIRTY if dirty else ""
    return "\n".join([
        *rows, "", f"The shipped LeNet on 2,000 training pictures. Eigenvalues of {error['nets']} nets of about 1,000 "
        f"weights: at most {error['worst']:.2g} % off those of the Hessian written down "
        f"({found['targets']['error']:g} %).{note} `benchmarks/landscape.py` on {where(found)}.",
    ])  # fmt: skip


def adversarial(found: Value) -> str:
    rows = headed("", "score", "here (95 % of the test sample)", "published", "training")
    for name, page in found["summary"]["nets"].items():
        for k, (score, one) in enumerate(page["scores"].items()):
            low, high = (one["sample_interval"][edge] for edge in ("low", "high"))
            seeds = f"{one['seeds']['mean']:.1f} % ({low:.1f} to {high:.1f}) of {one['over']:,}"
            paper = f"{one['paper']:.1f} %" if one.get("paper") else "-"
            took = f"{page['training_seconds']:.0f} s" if not k else ""
            rows.append(f"| {name if not k else ''} | `{score}` | {seeds} | {paper} | {took} |")
        for must in page["musts"]:
            word = f"{'at least' if must['least'] else 'at most'} {must['bound']:g}"
            told = "reached" if must["reached"] else "missed"
            rows.append(f"| | {must['what']}: {must['value']:.1f} | {word}: {told} | | |")
    firsts = {name: page["scores"]["accuracy"] for name, page in found["summary"]["nets"].items()}
    counts = ", ".join(f"{name} {first['seeds']['n']}" for name, first in firsts.items())
    end = (f"On {next(iter(firsts.values()))['data']}; the published nets learned from 60,000: no comparison. Seeds: "
           f"{counts}. `benchmarks/adversarial.py` on {where(found)}.")  # fmt: skip
    return "\n".join([*rows, "", end])


def shipped(pages: Sequence[str]) -> str:
    """Each score of these pages' runs that ship: one seed each, as their report.json has it."""
    lines = ["| page | score | the run that ships | 95 %, test sample | data |", "|---|---|---|---|---|"]
    for name in pages:
        report = json.loads((ROOT / "milestones" / "shipped" / name / "report.json").read_text(encoding="utf-8"))
        for score, one in report["scores"].items():
            lines.append(f"| `{name}` | {score} | {number(one['value'])} {one['unit']} | "
                         f"{number(one['low'])} to {number(one['high'])} | {one['data']} |")  # fmt: skip
    return "\n".join([*lines, "", "One seed each, by the commands in `benchmarks/ship.py`."])


def speech(found: Value) -> str:
    """Misread words of real recordings of digits, by the parts that were measured."""
    lines = ["| `speech` on fsdd | words misread, % | 95 %, test sample | seeds | training |", "|---|---|---|---|---|"]
    for name, page in found["summary"]["pages"].items():
        one, n = page["scores"]["word_error"], page["scores"]["word_error"]["seeds"]["n"]
        low, high = (number(one["sample_interval"][edge]) for edge in ("low", "high"))
        lines.append(f"| {name} | {number(one['seeds']['mean'])} | {low} to {high} | {n} | "
                     f"{page['seconds']['mean']:.0f} s |")  # fmt: skip
    told = "Real recordings of spoken digits; in the official split (`index`) speakers are shared."
    return "\n".join([*lines, "", f"{told} {where(found)}."])


def recurrent(found: Value) -> str:
    """Sequences a second on which an LSTM learns, beside each peer."""
    titles = {"packed": "PyTorch, packed", "keras-tensorflow": TITLES["keras-tensorflow"]}
    rows = ["| LSTM, both directions | length | ours, sequences/s | peer | ours / peer | target |",
            "|---|---|---|---|---|---|"]  # fmt: skip
    for key, value in found["summary"].items():
        if key.count("/") != 3:  # what a page reaches stands elsewhere
            continue
        sort, length, column, who = key.split("/")
        times, target = value["times"], found["targets"][who]
        word = "reached" if times["min"] >= target else "missed" if times["max"] < target else "not decided"
        dirty = " (disturbed)" if value["dirty"] else ""
        rows.append(f"| {titles[who]}, {column}, {sort}{dirty} | {length} | {value['ours']['mean']:.0f} | "
                    f"{value['peer']['mean']:.0f} | {times['mean']:.1f} ({times['min']:.1f} to {times['max']:.1f}) | "
                    f"{target:g}: {word} |")  # fmt: skip
    return "\n".join([*rows, "", f"128 units, batches of 32; `benchmarks/lstm.py` on {where(found)}."])


def translation(found: Value) -> str:
    """What the translators reach on each set of pairs: sentences that are right, and BLEU."""
    rows = ["| | exact | BLEU | seeds | training |", "|---|---|---|---|---|"]
    for name, page in found["summary"]["pages"].items():
        cells = []
        for key in ("exact", "bleu"):
            one = page["scores"].get(key)
            low, high = (number(one["sample_interval"][edge]) for edge in ("low", "high")) if one else ("", "")
            cells.append(f"{number(one['seeds']['mean'])} ({low} to {high})" if one else "-")
        dirty = " (disturbed)" if page["dirty"] else ""
        rows.append(f"| {name}, {page['scores']['exact']['data']}{dirty} | {' | '.join(cells)} | "
                    f"{page['seconds']['n']} | {page['seconds']['mean']:.0f} s |")  # fmt: skip
    told = "Percent; intervals of the test sample; sacreBLEU, its signature is in the results"
    return "\n".join([*rows, "", f"{told}; `benchmarks/translator.py` on {where(found)}."])


def decisions(found: Value) -> str:
    """Seconds in which a decision process of so many states is solved, both ways."""
    rows = ["| | states | value iteration, s | policy iteration, s | largest difference | target |",
            "|---|---|---|---|---|---|"]  # fmt: skip
    for world, part in found["summary"].items():
        cells = [f"{part[way]['median']:.1f} ({part[way]['min']:.1f} to {part[way]['max']:.1f})"
                 for way in ("value_iteration", "policy_iteration")]  # fmt: skip
        slowest = max(part[way]["max"] for way in ("value_iteration", "policy_iteration"))
        met = slowest <= found["target"]["seconds"] and part["apart"] <= found["target"]["apart"]
        told = f"{found['target']['seconds']:g} s, {found['target']['apart']:g}: {'reached' if met else 'missed'}"
        rows.append(f"| {world}, discount {part['discount']:g} | {part['states']:,} | {' | '.join(cells)} | "
                    f"{part['apart']:.1g} | {told} |")  # fmt: skip
    return "\n".join([*rows, "", f"`benchmarks/mdp.py` on {where(found)}."])


def poles(found: Value) -> str:
    """Seconds of training to 475 of CartPole's 500, ours and the peers'; then what our pages reach on other worlds."""
    titles = {"ours": "`ppo`", "sb3": "Stable-Baselines3 PPO, RL Zoo's settings", "cleanrl": "CleanRL's recipe of PPO"}
    rows = ["| CartPole-v1 | s to 475 | with imports | steps/s | last checkpoint | 475 in the end | times ours |",
            "|---|---|---|---|---|---|---|"]  # fmt: skip
    for who, about in found["summary"].get("cartpole", {}).items():
        cells = [f"{about[key]['mean']:.2f} ({about[key]['min']:.2f} to {about[key]['max']:.2f})" if key in about
                 else "never" for key in ("reached", "cold")]  # fmt: skip
        times = f"{about['times']:.1f}; {about['times_cold']:.1f} with imports" if "times" in about else ""
        rows.append(f"| {titles[who]}{' (disturbed)' * about['dirty']} | {' | '.join(cells)} | "
                    f"{about['rate']['mean']:,.0f} | {about['last']['mean']:.1f} | "
                    f"{about['met']} of {about['seeds']} seeds | {times} |")  # fmt: skip
    pages = found["summary"].get("pages", {})
    rows += ["", "| preset | mean return | seeds | training, s | target |", "|---|---|---|---|---|"] * bool(pages)
    for page in pages.values():
        one, seconds = page["scores"]["return"], page["trained"]
        met = one["seeds"]["mean"] >= page["goal"] and seconds["max"] <= page["most_seconds"]
        rows.append(f"| {' '.join(page['words'][1:]).replace('--preset ', '')}{' (disturbed)' * page['dirty']} | "
                    f"{one['seeds']['mean']:.1f} ({one['seeds']['min']:.1f} to {one['seeds']['max']:.1f}) | "
                    f"{one['seeds']['n']} | {seconds['max']:.1f} at most | {page['goal']:g} in "
                    f"{page['most_seconds']:g} s: {'reached' if met else 'missed'} |")  # fmt: skip
    told = "One thread; means over seeds, 100 fresh episodes each, the likeliest actions"
    return "\n".join([*rows, "", f"{told}; `benchmarks/cartpole.py` on {where(found)}."])


def language(found: Value) -> str:
    """The language model on tinyshakespeare beside nanoGPT's recipe, and how fast it says what comes next."""
    summary, rows = found["summary"], ["| | test, nats a character | training | target |", "|---|---|---|---|"]
    peer = summary.get("nanogpt")
    if peer:
        rows.append(f"| nanoGPT's recipe for CPUs, run here | {peer['test']['mean']:.3f} | "
                    f"{peer['seconds']['mean']:.0f} s | |")  # fmt: skip
    if "equal_time" in summary:
        less = summary["equal_time"]["below_nanogpt"]
        told = f"0.25 less: {'reached' if less >= 0.25 else 'missed'}"
        rows.append(said("in as much time", summary["equal_time"], f"{less:.2f} less; {told}"))
    for name, most, seconds in (("shakespeare", 1.55, 180), ("long", 1.46, 1800)):
        if name in summary["pages"]:
            page = summary["pages"][name]
            value, took = page["scores"]["loss"]["seeds"]["mean"], page["seconds"]["max"]
            told = f"{most} in {seconds} s: {'reached' if value <= most and took <= seconds else 'missed'}"
            rows.append(said(f"preset `{name}`", page, told))
    tail = ""
    if "generate" in summary:
        rate = summary["generate"]["rate"]
        tail = (f" Of a net of nanoGPT's size for CPUs {rate:,.0f} characters come in a second (1,000: "
                f"{'reached' if rate >= 1000 else 'missed'}).")  # fmt: skip
    return "\n".join([*rows, "", f"Interval of the test sample; `benchmarks/gpt.py` on {where(found)}.{tail}"])


def said(name: str, page: Value, told: str) -> str:
    one = page["scores"]["loss"]
    low, high = (number(one["sample_interval"][edge]) for edge in ("low", "high"))
    n = one["seeds"]["n"]
    many = f"{n} seed{'s' * (n > 1)}"
    return (f"| `gpt`, {name} | {one['seeds']['mean']:.3f} ({low} to {high}; {many}) | "
            f"{page['seconds']['mean']:.0f} s | {told} |")  # fmt: skip


def texts(found: Value) -> str:
    """A table of 10,000 texts, from the file to the report."""
    page = found["summary"]["pages"]["csv"]
    cells = []
    for name, score in page["scores"].items():
        one = score["sample_interval"]
        cells.append(f"| {name} | {number(score['seeds']['mean'])} {score['unit']} | "
                     f"{number(one['low'])} to {number(one['high'])} |")  # fmt: skip
    whole = found["parts"]["csv/1"]["process_seconds"]
    told = f"{whole:.0f} s from the file to the report (60 s: {'reached' if whole <= 60 else 'missed'})"
    head = ["| `words`, 10,000 verses, six kinds of books | | 95 %, test sample |", "|---|---|---|"]
    return "\n".join([*head, *cells, "", f"{told}; `benchmarks/words.py` on {where(found)}."])


def driving(found: Value) -> str:
    """Percent of unseen roads (or fields) that are driven whole, by each way to learn."""
    rows = ["| | by day | at dusk | the expert | seeds | training |", "|---|---|---|---|---|---|"]
    for name, page in found["summary"]["pages"].items():
        cells = []
        for score in (*(n for n in page["scores"] if n != "expert"), "expert"):
            one = page["scores"][score]
            sample = one["sample_interval"]
            cells.append(f"{one['seeds']['mean']:.1f} ({sample['low']:.1f} to {sample['high']:.1f})")
        dirty = " (a busy machine)" * page["dirty"]
        rows.append(
            f"| {name}{dirty} | {' | '.join(cells)} | {page['seconds']['n']} | {page['seconds']['mean']:.0f} s |"
        )
    least = found["target"]["laps"]
    told = (
        f"Percent of 40 unseen roads with three laps, or of fields with three posts; wanted: {least:g}; intervals of "
    )
    return "\n".join([*rows, "", f"{told}the test sample; `benchmarks/driver.py` on {where(found)}."])


def trust(found: Value) -> str:
    """One row a reader: what it did with damaged inputs; below it the kills, the soak and what saving costs."""
    rows = ["| reader | damaged inputs | results | refusals | wrong | longest |", "|---|---|---|---|---|---|"]
    for key, part in found["parts"].items():
        rows.append(f"| {key.rpartition(',')[0]} | {part['inputs']:,} | {part['results']:,} | {part['refusals']:,} | "
                    f"{part['wrong']} | {part['longest_s']:.2f} s |")  # fmt: skip
    told = [f"`benchmarks/fuzz.py` on {where(found)}."]
    if kills := result("killed"):
        summary = kills["summary"]
        pages = ", ".join(f"`{name}` {page['kills']}" for name, page in summary["pages"].items())
        told.append(f"Kills at random moments: {summary['kills']} ({pages}); not resumed to the same bytes: "
                    f"{summary['failed']}; `benchmarks/killed.py` on {where(kills)}.")  # fmt: skip
    if soak := result("soak"):
        halves = [f"{key}: memory {part['memory_grown_mb']:+.1f} MB, handles {part['handles_grown']:+d}, threads "
                  f"{part['threads_grown']:+d}" for key, part in soak["parts"].items()]  # fmt: skip
        told.append(f"Growth after the first third ({'; '.join(halves)}); `benchmarks/soak.py` on {where(soak)}.")
    if saving := result("checkpoints"):
        pages = "; ".join(f"`{key.partition(',')[0]}` {part['share_pct']:.2f} %, {part['overhead_s']:+.2f} s"
                          for key, part in saving["parts"].items())  # fmt: skip
        told.append(f"Share of a training that saving takes at its default interval (wanted: at most 2 %), and how "
                    f"much longer than a new run a resumed one waits for its first update (at most 2 s): {pages}; "
                    f"`benchmarks/checkpoints.py` on {where(saving)}.")  # fmt: skip
    return "\n".join([*rows, "", "\n\n".join(told)])


BLOCKS: dict[str, tuple[str, Callable[[Value], str]]] = {
    "trust": ("fuzz", trust),
    "timeline": ("digits", timeline),
    "digits": ("digits", digits),
    "speed": ("lenet", speed),
    "overhead": ("overhead", overhead),
    "start": ("start", start),
    "photos": ("photos", photos),
    "throughput": ("throughput", throughput),
    "search": ("search", searching),
    "many": ("many", processes),
    "ablations": ("ablations", ablations),
    "lr": ("lr", rates),
    "faults": ("faults", faults),
    "doctor": ("doctor", doctor),
    "ensemble": ("ensemble", ensemble),
    "attacks": ("attacks", attacks),
    "explain": ("explain", explain),
    "landscape": ("landscape", landscape),
    "adversarial": ("adversarial", adversarial),
    "speech": ("speech", speech),
    "recurrent": ("lstm", recurrent),
    "mdp": ("mdp", decisions),
    "cartpole": ("cartpole", poles),
    "driver": ("driver", driving),
    "translation": ("translator", translation),
    "language": ("gpt", language),
    "texts": ("words", texts),
}


def side_by_side() -> str:
    """All benchmarks in one table."""
    sys.path.insert(0, str(HERE))
    from table import markdown, read  # it takes its words from here

    return markdown(read())


def markdown(text: str) -> str:
    """The text of a Markdown file with its blocks as measured."""

    def block(match: re.Match[str]) -> str:
        name = match[2]
        if name in SHIPPED:  # measured when they were made
            return f"{match[1]}{shipped(SHIPPED[name])}\n{match[4]}"
        if name == "benchmarks":
            return f"{match[1]}{side_by_side()}\n{match[4]}"
        if name not in BLOCKS:
            sys.exit(f"expected one of the blocks {', '.join(BLOCKS)}, got {name!r}")
        found = result(BLOCKS[name][0])
        body = "not measured yet" if found is None else BLOCKS[name][1](found)
        return f"{match[1]}{body}\n{match[4]}"

    return BLOCK.sub(block, text)


def docstring(text: str, parts: list[str], found: Value | None) -> str:
    """The text of a page with the Result of its docstring as measured: at most five lines."""
    measured = [
        (part, found["summary"]["pages"][part]) for part in parts if found and part in found["summary"]["pages"]
    ]
    if not measured or not ast.get_docstring(ast.parse(text)):
        return text
    sentences = []
    parts = {name.rpartition("/")[0]: part for name, part in (found or {})["parts"].items()}
    cores = (found or {})["machine"]["cores"]
    devices = [f"{cores} cores of {processor(parts[part])}" if page["device"] == "cpu" else page["device"]
               for part, page in measured]  # fmt: skip
    for place, (part, page) in enumerate(measured):
        name, score = main_score(page)
        preset = part.partition(" ")[2]
        unit, n = score["unit"], score["seeds"]["n"]
        several = f"{n} seeds" if n > 1 else "1 seed"
        sd = f" ± {number(score['seeds']['sd'])}" if n > 1 else ""
        sentences.append(
            f"{preset + ': ' if preset else ''}{name} {number(score['seeds']['mean'])}{sd} {unit}, {several}, "
            f"{score['data']}, {page['seconds']['mean']:.1f} s".replace("  ", " ")
            + "".join(f", {other} {number(value['seeds']['mean'])} {value['unit']}" for other, value in others(page))
        )
        if devices[place : place + 2] != devices[place : place + 1] * 2:  # the last that was measured there
            sentences[-1] += f", on {devices[place]}"
    return written(text, "; ".join(sentences) + ".")


def brief(text: str, found: Value | None, part: str) -> str:
    """The text of a page with its Result as its own benchmark measured it: the first scores of its net."""
    if found is None:
        return text
    sentences = []
    for name, page in found["summary"][part].items():
        own = [key for key in page["scores"] if not key.startswith("standard_")]
        scores = {key: page["scores"][key] for key in own[:6]}
        first = next(iter(scores.values()))
        n = first["seeds"]["n"]
        told = ", ".join(f"{key} {number(one['seeds']['mean'])}" for key, one in scores.items())
        sentences.append(f"{name}: {told} {first['unit']}, {n} seed{'s' * (n > 1)}, {page['seconds']['mean']:.0f} s")
    machine = found["machine"]
    return written(text, "; ".join(sentences) + f"; on {machine['cores']} cores of {machine['cpu']}.")


def sequence(text: str, found: Value | None, page: str) -> str:
    """The text of a page of sequences with its Result: its scores with the quick preset."""
    pages = found["summary"]["pages"] if found else {}
    if found is None or page not in pages:
        return text
    first = next(iter(pages[page]["scores"].values()))
    return brief(text, {**found, "summary": {"pages": {f"quick, {first['data']}": pages[page]}}}, "pages")


def written(text: str, result: str) -> str:
    """The text of a page with this Result in its docstring."""
    body = textwrap.wrap(result, WIDTH - INDENT, break_long_words=False)
    if len(body) > MOST_LINES:
        sys.exit(f"expected at most {MOST_LINES} lines for Result, got {len(body)}: {' '.join(body)}")
    end = text.index('"""', 3)
    head, rest = text[:end], text[end:]
    words = ("\n" + " " * INDENT).join(body)
    return RESULT.sub(lambda match: match[1] + words + "\n", head, count=1) + rest


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file differs")
    args = parser.parse_args()
    digits, differ = result("digits"), 0
    changes: dict[Path, Callable[[str], str]] = {}
    for path in [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if path.exists():
            changes[path] = markdown
    for page, parts in PAGES.items():
        path = ROOT / "milestones" / "systems" / f"{page}.py"
        if path.exists():
            changes[path] = lambda text, parts=parts: docstring(text, parts, digits)
    for page, part in ELSEWHERE.items():
        path = ROOT / "milestones" / "systems" / f"{page}.py"
        changes[path] = lambda text, page=page, part=part: brief(text, result(page), part)
    for page in SEQUENCES:
        path = ROOT / "milestones" / "systems" / f"{page}.py"
        if path.exists():
            changes[path] = lambda text, page=page: sequence(text, result("sequences"), page)
    for path, change in changes.items():
        before = path.read_text(encoding="utf-8")
        after = change(before)
        if before == after:
            continue
        differ += 1
        name = str(path.relative_to(ROOT))
        if args.check:
            print(
                "".join(
                    difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name} as measured")
                )
            )
        else:
            path.write_text(after, encoding="utf-8")
            print(f"written: {name}")
    print(f"{len(changes)} files, {differ} {'differ' if args.check else 'changed'}")
    return int(bool(args.check and differ))


if __name__ == "__main__":
    sys.exit(main())
