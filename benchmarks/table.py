"""One table of all that was measured: ours, each peer, how many times as good, and whether the target is reached.

    python benchmarks/table.py [FOLDER]

It reads FOLDER/*.json (results, if none is named) and prints; figures.py writes the same rows into docs/benchmarks.md.
A ratio above 1 means that ours is better: of seconds it is the peer's by ours, of rates ours by the peer's. Ours is
ahead, or behind, where all pairs agree on it; with one pair, that is said.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from figures import TITLES, headed, main_score, plain, processor
from measure import Value, table

RESULTS = Path(__file__).resolve().parent / "results"
HEAD = ("task", "on", "ours", "peer", "times as good (all pairs)", "", "target", "measured")
PEERS = {**TITLES, "packed": "PyTorch, packed", "openspiel": "OpenSpiel", "alpha-zero-general": "alpha-zero-general"}
LESS = re.compile("error|loss|perplexity|bits|nll|mistakes|wrong")  # in the names of scores of which less is better
PACKAGE = {"keras-tensorflow": "keras", "keras-torch": "keras"}


class Row(NamedTuple):
    """One line: what was measured, both sides, their ratio, and a target with whether it is reached."""

    task: str
    ours: str
    peer: str = ""
    times: Value | None = None  # the spread of ours / peer, or of peer / ours where less is better
    target: str = ""
    reached: bool | None = None  # None: there is no target, or the pairs do not decide
    parts: tuple[str, ...] = ("",)  # names of the parts that it comes from, or the folders of their names; "": all
    dirty: bool = False
    word: str = ""  # who is ahead, where the ratio does not say it


def short(value: float) -> str:
    """Three digits, or all of a larger number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def inverse(spread: Value) -> Value:
    """The spread of 1 / x; exact for the smallest, the largest and the median of an odd number."""
    edges = {"min": "max", "median": "median", "max": "min"}
    return {"n": spread["n"], **{name: 1 / spread[other] for name, other in edges.items()}}


def decided(spread: Value, least: float) -> bool | None:
    """Whether all pairs reach `least`, or none does."""
    return True if spread["min"] >= least else False if spread["max"] < least else None


def lenet(found: Value) -> Iterator[Row]:
    musts = {key: float(least) for line in found["summary"].get("verdict", ())
             for key, least in re.findall(r"best (\w+) peer .*must: ([\d.]+):", line)}  # fmt: skip
    for key, one in found["summary"]["peers"].items():
        cpu, column, peer = key.split("/")
        sides, never = [], one["not_reached"]
        for side in ("ours", "peer"):
            bound = "at least " if never[side] else ""
            note = f" ({never[side]} of {one['pairs']} never)" if never[side] else ""
            sides.append(f"{bound}{short(one[side]['mean'])} s{note}")
        least = musts.get(column, 0.0)
        reached = one["peer"]["mean"] / one["ours"]["mean"] >= least and not never["ours"]
        yield Row(f"LeNet-5, Fashion-MNIST, seconds to {found['target']:g} % error", sides[0],
                  f"{named(found, peer)}, {column}: {sides[1]}", one["times"], f"{least:g} times" if least else "",
                  reached if least else None, (f"{cpu}/{column}/{peer}",), bool(one["dirty"]),
                  "not decided" if never["ours"] else "")  # fmt: skip


def throughput(found: Value) -> Iterator[Row]:
    for key, one in found["summary"]["peers"].items():
        net, _, column = key.partition("/")[0].rpartition(", ")
        peer, least = key.partition("/")[2], found["targets"][column]
        yield Row(f"{net or 'residual net'}, pictures a second", short(one["ours"]["mean"]),
                  f"{named(found, peer)}, {column}: {short(one['peer']['mean'])}", one["times"], f"{least:g} times",
                  decided(one["times"], least), (key,), one["dirty"])  # fmt: skip


def recurrent(found: Value) -> Iterator[Row]:
    for key, one in found["summary"].items():
        if key.count("/") == 3:  # what a page reaches is no comparison
            _, length, column, peer = key.split("/")
            least = found["targets"][peer]
            yield Row(f"LSTM, both directions, length {length}, sequences a second", short(one["ours"]["mean"]),
                      f"{named(found, peer)}, {column}: {short(one['peer']['mean'])}", one["times"], f"{least:g} times",
                      decided(one["times"], least), (key,), one["dirty"])  # fmt: skip


def overhead(found: Value) -> Iterator[Row]:
    for key, one in found["summary"]["cases"].items():
        yield Row(f"{key.partition('/')[2]}, microseconds a step", short(one["ours"]["median"]),
                  f"bare PyTorch: {short(one['bare']['median'])}", inverse(one["ratio"]),
                  f"cost at most {found['target']:g} times", one["ratio"]["median"] <= found["target"], (key,),
                  one["dirty"])  # fmt: skip


def language(found: Value) -> Iterator[Row]:
    summary = found["summary"]
    if "equal_time" in summary and "nanogpt" in summary:
        less, loss = summary["equal_time"]["below_nanogpt"], summary["equal_time"]["scores"]["loss"]
        peer = summary["nanogpt"]["test"]["mean"]
        yield Row("language model, as much time, nats a character", short(loss["seeds"]["mean"]),
                  f"nanoGPT's recipe: {short(peer)}", None, "0.25 less", less >= 0.25, ("equal time", "nanogpt"),
                  word=beside(loss, peer, higher=False))  # fmt: skip
    if "generate" in summary:
        rate = summary["generate"]["rate"]
        yield Row("language model, characters a second", short(rate), "", None, "1,000", rate >= 1000, ("generate",),
                  summary["generate"]["dirty"])  # fmt: skip
    for name, most, seconds in (("shakespeare", 1.55, 180), ("long", 1.46, 1800)):
        if name in summary.get("pages", {}):
            page = summary["pages"][name]
            value, took = page["scores"]["loss"]["seeds"]["mean"], page["seconds"]["max"]
            yield Row(f"language model, preset {name}, nats a character", f"{short(value)} in {took:.0f} s", "", None,
                      f"{most} in {seconds:,} s", value <= most and took <= seconds, (name,),
                      page["dirty"])  # fmt: skip


def searching(found: Value) -> Iterator[Row]:
    summary, targets = found["summary"], found["targets"]
    for key, rate in summary["rates"].items():
        name = key.partition("/")[2]
        if name.split(",")[0] in PEERS:
            mine = "bare/puct, 256 games" if key.startswith("bare") else "play/native, bfloat16"
            if times := summary["times"].get(f"{mine} to {key}"):
                peer, _, column = name.partition(", ")
                least = 0 if key.startswith("bare") else targets.get(peer, 0)
                yield Row(f"search of connect four, {key.partition('/')[0]}, simulations a second",
                          short(summary["rates"][mine]["mean"]), f"{PEERS[peer]}, {column or 'its own'}: "
                          f"{short(rate['mean'])}", times, f"{least:g} times" if least else "",
                          decided(times, least), (key, mine), rate["dirty"])  # fmt: skip
            continue
        wanted = targets["bare"] if key.startswith("bare/") else targets.get(key, 0)
        yield Row(f"search, {key.replace('/', ', ')}, simulations a second", short(rate["mean"]), "", None,
                  f"{wanted:,.0f}" if wanted else "", rate["mean"] >= wanted if wanted else None, (key,),
                  rate["dirty"])  # fmt: skip


def attacks(found: Value) -> Iterator[Row]:
    for key, one in found["summary"].get("speed", {}).items():
        column, name, peer = key.split("/")
        got, kind = one["found"], name.partition(",")[0]
        least = found["targets"][kind] if (kind, peer) != ("DeepFool", "foolbox") else 0
        good = one["times"]["min"] >= least and got["ours"]["success"] >= got[peer]["success"]
        misled = [f"{got[side]['success']:.1f} % misled" for side in ("ours", peer)]
        yield Row(f"attack {name}, seconds", f"{short(one['ours']['median'])}, {misled[0]}",
                  f"{named(found, peer)}, {column}: {short(one['peer']['median'])}, {misled[1]}", one["times"],
                  f"{least:g} times, as many misled" if least else "", good if least else None, (f"{column}/{name}",),
                  one["dirty"])  # fmt: skip
    for name, one in found["summary"].get("autoattack", {}).items():
        apart = abs(one["ours"] - one["reference"])
        seconds = {"n": 1, **dict.fromkeys(("min", "median", "max"), one["reference_seconds"] / one["ours_seconds"])}
        yield Row(f"AutoAttack, {name}, accuracy left", f"{one['ours']:.1f} %", f"reference: {one['reference']:.1f} %",
                  seconds, "within 0.1 point", apart <= 0.1, ("autoattack",))  # fmt: skip


def explain(found: Value) -> Iterator[Row]:
    for key, one in found["summary"]["cases"].items():
        name = key.partition("/")[2]
        if name == "trust strip":
            yield Row("explanations, all in one strip, seconds", short(one["ours"]["median"]), "", None, "3 s",
                      one["ours"]["max"] <= 3, (key,), one["dirty"])  # fmt: skip
            continue
        peer = named(found, "grad-cam" if name == "grad-cam" else "captum")
        for column in ("documented", "tuned"):
            yield Row(f"explanation, {name}, seconds", short(one["ours"]["median"]),
                      f"{peer}, {column}: {short(statistics.median(found['parts'][key][column]))}", one[column],
                      f"{found['target']:g} times", one[column]["median"] >= found["target"], (key,),
                      one["dirty"])  # fmt: skip


def landscape(found: Value) -> Iterator[Row]:
    titles = {"plane": "plane of 51 x 51", "first_view": "first view", "eigenvalues": "five eigenvalues"}
    for cpu, one in found["summary"]["cases"].items():
        for name, title in titles.items():
            yield within(f"loss around LeNet, {title}, seconds", one[name], found["targets"][name], (cpu,),
                         one["dirty"])  # fmt: skip


def decisions(found: Value) -> Iterator[Row]:
    for world, one in found["summary"].items():
        for way in ("value_iteration", "policy_iteration"):
            yield within(f"decision process of {one['states']:,} states ({world}), {way.replace('_', ' ')}, seconds",
                         one[way], found["target"]["seconds"], (world,))  # fmt: skip


def within(task: str, spread: Value, most: float | None, parts: tuple[str, ...] = ("",), dirty: bool = False) -> Row:
    """A row without a peer: a cost, its spread, and whether it stays below `most` each time."""
    each = f" ({short(spread['min'])} to {short(spread['max'])})" if spread["n"] > 1 else ""
    return Row(task, short(spread["median"]) + each, "", None, "" if most is None else f"at most {most:g}",
               None if most is None else spread["max"] <= most, parts, dirty)  # fmt: skip


def photos(found: Value) -> Iterator[Row]:
    parts = found["summary"]["parts"]
    if one := parts.get("files"):
        yield Row(f"{one['files']:,} photographs looked through, seconds", short(one["scan"]), "", None,
                  f"at most {one['target']:g}", one["scan"] <= one["target"], ("files",))  # fmt: skip
    yield from pages({"summary": {"pages": {name: one for name, one in parts.items() if "scores" in one}}})
    if one := parts.get("transfer"):
        yield Row("3,000 photographs, error after a net of others", f"{short(one['tuned']['mean'])} %",
                  f"from scratch: {short(one['scratch']['mean'])} %", None, "", None, ("transfer",))  # fmt: skip


def ensemble(found: Value) -> Iterator[Row]:
    one, many = found["summary"]["lenet"]["one"], found["summary"]["lenet"]["members"]
    targets, parts = found["summary"]["lenet"]["targets"], ("lenet",)
    for key, unit in (("accuracy", " %"), ("log_loss", ""), ("calibration_error", " %")):
        value, wanted = many[key]["mean"], targets[key]
        reached = value >= wanted if key == "accuracy" else value <= wanted
        yield Row(f"{found['members']} LeNets as one, {key.replace('_', ' ')}", f"{value:.3g}{unit}",
                  f"one net: {one[key]['mean']:.3g}{unit}", None, f"{wanted:g}{unit}", reached, parts,
                  many["dirty"])  # fmt: skip
    for name, where in (("lenet", "pictures"), ("table", "a table")):
        cost, wanted = found["summary"][name]["cost"], found["summary"][name]["targets"]["cost"]
        yield Row(f"{found['members']} nets on {where}, cost of the training", f"{cost:.1f} times one net's", "", None,
                  f"at most {wanted:g} times", cost <= wanted, (name,))  # fmt: skip


def zipcode(found: Value) -> Iterator[Row]:
    for name, one in found["summary"]["lines"].items():
        yield within(f"reading a number, {name}, milliseconds", one, None)._replace(
            target=f"median at most {found['target']:g}", reached=one["median"] <= found["target"])  # fmt: skip


def words(found: Value) -> Iterator[Row]:
    if "csv/1" in found["parts"]:
        took, most = found["parts"]["csv/1"]["process_seconds"], found["targets"]["csv, seconds"]
        yield Row("10,000 texts, file to report, seconds", short(took), "", None, f"at most {most:g}", took <= most,
                  ("csv",))  # fmt: skip
    yield from pages(found)


def start(found: Value) -> Iterator[Row]:
    for name, one in found["summary"]["commands"].items():
        if one["target"] is not None:
            shown = one.get("above_bare", one["median"])
            yield Row(f"`{name}`", f"{shown:.0f} {one['unit']}", "", None, f"at most {one['target']} {one['unit']}",
                      shown <= one["target"], (name,), one["dirty"])  # fmt: skip


def studio(found: Value) -> Iterator[Row]:
    """From the parts, since a run of one part leaves its summary alone."""
    for part, names in {"ready": ("drawn",), "live": ("first_point", "updates"), "many": ("listed", "drawn"),
                        "maps": ("shown",)}.items():  # fmt: skip
        for name in names if part in found["parts"] else ():
            values = sorted(found["parts"][part][name])
            middle = values[len(values) // 2]
            wanted = found["targets"]["ready" if part == "ready" else name]
            good = middle >= wanted if name == "updates" else middle <= wanted
            unit = "a second" if name == "updates" else "seconds"
            yield Row(f"studio, {part}: {name.replace('_', ' ')}, {unit}",
                      f"{short(middle)} ({short(values[0])} to {short(values[-1])})", "", None,
                      f"at {'least' if name == 'updates' else 'most'} {wanted:g}", good, (part,),
                      found["parts"][part]["dirty"])  # fmt: skip
    if one := found["summary"].get("cases", {}).get("watched"):
        most = found["targets"]["watched"]
        yield Row("training that a browser watches, seconds", short(one["watched"]["median"]),
                  f"unwatched: {short(one['alone']['median'])}", inverse(one["watched / alone"]),
                  f"cost at most {most:g} times", one["watched / alone"]["median"] <= most, ("watched",),
                  one["dirty"])  # fmt: skip


def doctor(found: Value) -> Iterator[Row]:
    name, one = max(found["summary"]["pages"].items(), key=lambda each: each[1]["share"])
    yield Row("the doctor's looks, largest share of a training", f"{one['share']:.1f} % ({name})", parts=(name,),
              dirty=one["dirty"])  # fmt: skip


def faults(found: Value) -> Iterator[Row]:
    for half, one in ((half, found["summary"][half]) for half in ("open", "held") if half in found["summary"]):
        yield Row(f"faults found, {half} half", f"{one['found']} of {one['faults']}; {one['named_first']} named first")
    if healthy := found["summary"].get("healthy"):
        yield Row("false alarms", f"{healthy['alarms']} in {healthy['trainings']} trainings")


def fuzz(found: Value) -> Iterator[Row]:
    wrong, inputs = (sum(part[key] for part in found["parts"].values()) for key in ("wrong", "inputs"))
    yield Row(f"damaged inputs, {len(found['parts'])} readers", f"{wrong} of {inputs:,} read wrongly", "", None, "0",
              not wrong)  # fmt: skip


def adversarial(found: Value) -> Iterator[Row]:
    for name, page in found["summary"]["nets"].items():
        for must in page["musts"]:
            yield Row(f"adversarial, {name}: {must['what']}", short(must["value"]), "", None,
                      f"at {'least' if must['least'] else 'most'} {must['bound']:g}", must["reached"], (name,),
                      page["dirty"])  # fmt: skip


def poles(found: Value) -> Iterator[Row]:
    targets = found["targets"]
    sides = found["summary"].get("cartpole", {})
    if "ours" in sides and "reached" in sides["ours"]:
        one = sides["ours"]
        yield Row(f"CartPole-v1, seconds of training to 475, {one['met']} of {one['seeds']} seeds at the end",
                  f"{short(one['reached']['mean'])} ({short(one['reached']['min'])} to {short(one['reached']['max'])})",
                  "", None, f"at most {targets['seconds']:g}, all seeds",
                  one["reached"]["max"] <= targets["seconds"] and one["met"] == one["seeds"], ("cartpole/ours",),
                  one["dirty"])  # fmt: skip
    for peer in (name for name in sides if name != "ours" and "times" in sides[name]):
        one = sides[peer]
        yield Row("CartPole-v1, seconds of training to 475", short(sides["ours"]["reached"]["mean"]),
                  f"{PEERS.get(peer, peer)}: {short(one['reached']['mean'])}", None, f"{targets['times']:g} times",
                  one["times"] >= targets["times"], (f"cartpole/{peer}",), one["dirty"],
                  f"{one['times']:.1f} times")  # fmt: skip


def many(found: Value) -> Iterator[Row]:
    for page, one in found["summary"].items():
        if isinstance(one, dict):
            asked, times = page == "resnet", one["against_threads"]
            yield Row(f"`{page}` by two processes of one core, against one of two", f"{times:.2f} times",
                      "", None, "at least 0.8 times" if asked else "", times >= 0.8 if asked else None,
                      (page,))  # fmt: skip


def go(found: Value) -> Iterator[Row]:
    for name, part in found["parts"].items():
        if name.startswith("rules"):
            yield Row(f"go, rules on {name.split()[1]} x {name.split()[1]}, {part['positions']:,} positions",
                      f"{part['other']} unlike, {part['superko']} by superko", "OpenSpiel", None, "0 unlike",
                      not part["other"], (name,))  # fmt: skip
            continue
        wanted, minutes = found["targets"][name], part["run"]["seconds"] / 60
        won = f"{part['wins']:.1f} % ({part['low']:.1f} to {part['high']:.1f})"
        yield Row(f"go, {name.replace('x', ' x ')}, games won after {minutes:.0f} min of training",
                  f"{won} of {part['counted']} different games",
                  "GNU Go, level 10", None, f"at least {wanted['wins']:g} % after {wanted['seconds'] / 60:.0f} min",
                  part["wins"] >= wanted["wins"] and part["run"]["seconds"] <= wanted["seconds"], (name,))  # fmt: skip


def serve(found: Value) -> Iterator[Row]:
    one, targets = found["summary"], found["targets"]
    for key, what, least in (
        ("rate", "answers a second", True),
        ("p99_ms", "99 % of answers within, ms", False),
        ("growth_mb", "memory grown, MB", False),
        ("lost", "questions lost at the end", False),
    ):
        met = one[key] >= 0.99 * targets[key] if least else one[key] <= targets[key]
        yield Row(f"a served LeNet, {what}", short(one[key]), "", None,
                  f"at {'least' if least else 'most'} {targets[key]:g}", met)  # fmt: skip


def checkpoints(found: Value) -> Iterator[Row]:
    names = {"share_pct": "share of a training that is saved, %", "overhead_s": "seconds that resuming adds"}
    for name, part in found["parts"].items():
        for key, what in names.items():
            yield Row(f"{name.split(',')[0]}, {what}", short(part[key]), "", None, f"at most {found['targets'][key]:g}",
                      part[key] <= found["targets"][key], (name,), part["dirty"])  # fmt: skip


def soak(found: Value) -> Iterator[Row]:
    for name, part in found["parts"].items():
        still = part["handles_grown"] <= 0 and part["threads_grown"] <= 0
        fine = part["memory_grown_mb"] <= found["most_mb"] and still
        grown = f"{part['memory_grown_mb']:+.1f}; {part['handles_grown']:+d}"
        yield Row(f"soak, {name}: memory grown, MB; handles", grown, "", None, f"at most {found['most_mb']:g}; none",
                  fine, (name,))  # fmt: skip


def killed(found: Value) -> Iterator[Row]:
    one = found["summary"]
    yield Row(f"trainings killed at a random moment, {len(one['pages'])} pages", f"{one['kills']} of 200; "
              f"{one['failed']} went on to other bytes", "", None, "200; 0",
              one["kills"] >= 200 and not one["failed"])  # fmt: skip


def ablations(found: Value) -> Iterator[Row]:
    parts = found["summary"]["parts"]
    for name, part in parts.items():
        for whole in (one for other, one in parts.items() if other.startswith("nothing") and other != name):
            yield Row(f"AlexNet, error with {name}", f"{short(part['error']['mean'])} %",
                      f"with all: {short(whole['error']['mean'])} %", parts=(name,))  # fmt: skip


def pages(found: Value) -> Iterator[Row]:
    """The first score of each page; beside it the paper's, where its data are the same."""
    for name, page in found["summary"].get("pages", {}).items():
        score, one = main_score(page)
        same = one.get("paper") is not None and one["paper_data"] == one["data"]
        unit = f" {one['unit']}".rstrip()
        seeds = f"{one['seeds']['n']} seed{'s' * (one['seeds']['n'] > 1)}"
        yield Row(f"{name}, {score.replace('_', ' ')} on {one['data']}",
                  f"{short(one['seeds']['mean'])}{unit} ({seeds}, {page['seconds']['mean']:.0f} s)",
                  f"published: {short(one['paper'])}{unit}" if same else "", parts=(name,), dirty=bool(page["dirty"]),
                  word=beside(one, one["paper"], not LESS.search(score)) if same else "")  # fmt: skip


def beside(score: Value, other: float, higher: bool) -> str:
    """Who is ahead, where the other's figure lies outside of the test sample's interval."""
    low, high = score["sample_interval"]["low"], score["sample_interval"]["high"]
    if low <= other <= high:
        return "not decided"
    return "ahead" if (other < low) == higher else "behind"


KINDS: Mapping[str, Callable[[Value], Iterator[Row]]] = {
    "lenet": lenet, "throughput": throughput, "lstm": recurrent, "overhead": overhead, "gpt": language,
    "search": searching, "attacks": attacks, "explain": explain, "landscape": landscape, "mdp": decisions,
    "photos": photos, "ensemble": ensemble, "zipcode": zipcode, "words": words, "start": start, "studio": studio,
    "doctor": doctor, "faults": faults, "fuzz": fuzz, "adversarial": adversarial, "ablations": ablations,
    "cartpole": poles, "many": many, "go": go, "serve": serve, "checkpoints": checkpoints, "soak": soak,
    "killed": killed,
}  # fmt: skip


def versions(found: Value) -> dict[str, str]:
    """Of all that was installed beside a benchmark."""
    pinned = dict(one.split("==") for one in found.get("peers", ()) if isinstance(one, str) and "==" in one)
    return {**found["versions"], **pinned}


def named(found: Value, peer: str) -> str:
    """A peer with its version."""
    return f"{PEERS.get(peer, peer)} {versions(found).get(PACKAGE.get(peer, peer), '')}".strip()


def verdict(row: Row) -> str:
    """Who is ahead: where the pairs do not agree, nobody is."""
    if row.word or row.times is None:
        return row.word
    alone = ", one pair" if row.times["n"] == 1 else ""
    word = {True: "ahead", False: "behind", None: "not decided"}[decided(row.times, 1)]
    return f"{word}{alone}"


def cells(row: Row, found: Value, number: int, narrow: Mapping[str, bool]) -> list[str]:
    """The texts of a row, as HEAD names them."""
    folders = tuple(f"{name}/" for name in row.parts)
    own = [part for key, part in found["parts"].items()
           if key in row.parts or key.startswith(folders) or "" in row.parts]  # fmt: skip
    cpus = list(dict.fromkeys(map(processor, own))) or [plain(found["machine"]["cpu"])]
    held = any("avx2" in name for name in row.parts)
    on = ", ".join(f"{cpu}, {'AVX2' if held or narrow.get(cpu) else 'native'}" for cpu in cpus)
    when = max((part["when"][:10] for part in own), default=found["date"])
    times = "" if row.times is None else short(row.times["median"])
    if row.times and row.times["n"] > 1:
        times += f" ({short(row.times['min'])} to {short(row.times['max'])})"
    word = {True: ": reached", False: ": missed", None: ": not decided"}[row.reached] if row.target else ""
    return [row.task + " (disturbed)" * row.dirty, on, row.ours, row.peer, times, verdict(row), row.target + word,
            f"{when} [{number}]"]  # fmt: skip


def read(folder: Path = RESULTS) -> list[Value]:
    """The files of a folder, in the order of KINDS, then by name."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    order = list(KINDS)
    return sorted(found, key=lambda one: order.index(one["benchmark"]) if one["benchmark"] in order else len(order))


def kind(found: Value) -> Callable[[Value], Iterator[Row]]:
    """What tells the rows of a file; one that was stopped before its end has none."""
    return KINDS.get(found["benchmark"], pages) if found["summary"] or found["benchmark"] == "fuzz" else pages


def rows(files: list[Value]) -> list[list[str]]:
    """All lines of the table, as texts."""
    narrow = {plain(one["machine"]["cpu"]): bool(one["machine"]["note"]) for one in files}
    return [cells(row, one, number, narrow) for number, one in enumerate(files, 1)
            for row in kind(one)(one)]  # fmt: skip


def sources(files: list[Value]) -> list[str]:
    """One line a file: its number, the last command that wrote into it, and the versions it was measured with."""
    lines = []
    for number, one in enumerate(files, 1):
        with_ = ", ".join(f"{name} {version}" for name, version in versions(one).items())
        lines.append(f"{number}. `{one['command'].splitlines()[0]}`: {with_}; code {one['code']}")
    return lines


def counted(lines: list[list[str]]) -> str:
    """How many rows say what."""
    found = [sum(line[5].startswith(word) for line in lines) for word in ("ahead", "behind", "not decided")]
    ends = [sum(line[6].endswith(f": {word}") for line in lines) for word in ("reached", "missed", "not decided")]
    return (f"Beside a peer: ahead in {found[0]} rows, behind in {found[1]}, not decided in {found[2]}. Targets: "
            f"{ends[0]} reached, {ends[1]} missed, {ends[2]} not decided.")  # fmt: skip


def markdown(files: list[Value]) -> str:
    """The table as Markdown, with what was counted before it and its sources after it."""
    lines = rows(files)
    told = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([counted(lines), "", *headed(*HEAD), *told, "", *sources(files)])


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    if not (files := read(folder)):
        sys.exit(f"expected results in {folder}, got none. Run ./go bench first.")
    lines = rows(files)
    for source in sources(files):  # a table each: together they are wider than a terminal
        number = source.partition(".")[0]
        own = [line for line in lines if line[-1].endswith(f"[{number}]")]
        told = table(HEAD, [[*line[:-1], line[-1].split()[0]] for line in own]) if own else "nothing to its end yet"
        print(source, told, "", sep="\n")
    print(counted(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
