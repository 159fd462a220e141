"""look RUN INPUT: what speaks for the answer, by every method that fits the net, each with what it is worth."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from .words import several

if TYPE_CHECKING:
    from torch import Tensor

    from ..parts.explain import Question
    from ..parts.maps import Map, Setting
    from .subject import Subject

NAMES = ("gradient", "smoothgrad", "input-gradient", "integrated", "guided", "deconvolution", "gradcam", "occlusion",
         "relevance", "shapley")  # fmt: skip
MOST_INSIDE = 48  # places of attention and gates that are drawn
MOST_HEADS = 4
MOST_UNITS = 32


def options(parser: argparse.ArgumentParser) -> None:
    """The options of an explanation."""
    group = parser.add_argument_group("what it looks at in an input")
    group.add_argument("--example", default="", metavar="N", help="example N of the run's test data in place of a file")
    group.add_argument("--method", type=several(str), default=[], metavar="NAME,...",
                       help=f"some of {', '.join(NAMES)} [all]")  # fmt: skip
    group.add_argument("--against", default="", metavar="CLASS", help="the class that is explained [the net's answer]")
    group.add_argument("--steps", default="50", metavar="N", help="noisy copies, and points of a path [50]")
    group.add_argument("--orders", default="20", metavar="N", help="orders of the parts for Shapley values [20]")


def run(args: argparse.Namespace) -> int:
    """Explain each input, and write the study's folder."""
    import shlex
    import time
    from pathlib import Path

    from ..catalog import load
    from ..core.errors import UserError
    from ..core.folder import next_folder, write_json, write_weights, write_whole
    from ..parts.maps import Setting
    from ..report.explained import html_of, pictures_of
    from .subject import of
    from .words import answer

    methods, example = named(args.method), number("--example", args.example, 1, 10**9) if args.example else 0
    setting = Setting(number("--steps", args.steps, 2, 400), number("--orders", args.orders, 2, 1000), args.seed)
    if args.inputs and example:
        raise UserError("a file or --example", "both", "Leave one out", "look")
    began = time.perf_counter()
    trained = load(args.run, args.runs, args.page)
    subject = of(trained, args.inputs, 1, first=example)
    found, tensors = study(subject, methods, args.against, setting)
    found["seconds"] = time.perf_counter() - began
    words = [args.run, *args.inputs, *(["--example", args.example] if example else []),
             *(["--method", ",".join(methods)] if args.method else []),
             *(["--against", args.against] if args.against else []),
             "--steps", str(setting.steps), "--orders", str(setting.orders), "--seed", str(args.seed),
             *(["--page", args.page] if args.page else [])]  # fmt: skip
    found["command"] = shlex.join(["milestones", "look", *words])
    folder = next_folder(Path(args.runs), f"{found['system']}-look")
    pictures = pictures_of(found, tensors)
    for name, content in pictures.items():
        write_whole(folder / name, content)
    write_weights(folder / "maps.safetensors", tensors)
    write_json(folder / "look.json", found)
    write_whole(folder / "report.html", html_of(found, pictures).encode())
    answer(args, {"study": str(folder), **found}, "\n".join([*lines(found), f"report: {folder / 'report.html'}"]))
    return 0


def named(words: list[str]) -> list[str]:
    """The methods that were asked for, or all. UserError: another name."""
    from ..core.errors import UserError, nearest

    for word in words:
        if word not in NAMES:
            do = nearest(word, NAMES, "Leave --method out for all")
            raise UserError(f"ways to explain an answer ({', '.join(NAMES)})", f"--method {word}", do, "look")
    return list(dict.fromkeys(words)) or list(NAMES)


def number(option: str, word: str, low: int, high: int) -> int:
    """The value of an option. UserError: no whole number, or outside its range."""
    from ..core.errors import UserError

    if not word.isdecimal() or not low <= int(word) <= high:
        raise UserError(f"a whole number from {low} to {high:,} for {option}", word, "Change the option", "look")
    return int(word)


def study(
    subject: Subject, methods: list[str], against: str, setting: Setting
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What look.json says, and all maps as tensors, "INPUT/METHOD".

    UserError: no such class, or a net that does not answer twice the same.
    """
    from ..core.errors import UserError
    from ..parts.explain import question
    from ..parts.maps import METHODS, maps, parts_of, randoms

    trained, probe = subject.trained, subject.probe
    who = trained.entry.name
    scores = steady(subject)
    try:
        parts_of(probe.input.shape[1:])
    except NotImplementedError as problem:
        do = "Take a run of such inputs"
        raise UserError("pictures, rows, sequences or boards", str(problem), do, who) from None
    target = scores.argmax(-1)
    if against:
        target = target.new_full(target.shape, chosen(subject, against))
    empty, nothing = emptied(subject)
    asked = question(probe.scores, probe.input, target, empty)

    def of(net: Any) -> Question:
        return asked._replace(scores=trained.system.probe(net, subject.batch).scores)  # type: ignore[misc]

    made = maps(asked, [of(net) for net in randoms(trained.model, setting.seed)], methods, setting)
    kept = {name: one for name, one in made.items() if not isinstance(one, str)}
    inputs, tensors = [], {}
    inside = recordings(asked)
    for b, name in enumerate(subject.names):
        known = subject.labels[int(probe.target[b])] if subject.known else None
        inputs.append({
            "name": name, "answer": ranking(scores[b], subject.labels), "truth": known,
            "explained": subject.labels[int(target[b])], "maps": told(kept, b), "inside": inside[b],
        })  # fmt: skip
        tensors |= {f"{b + 1}/{key}": one.values[b] for key, one in kept.items()}
        tensors |= {f"{b + 1}/input": probe.input[b], f"{b + 1}/nothing": asked.baseline[b]}
    bounds = [probe.low, probe.high] if abs(probe.low) + abs(probe.high) < math.inf else None
    found = {
        "system": who, "run": str(trained.folder), "data": subject.data, "seed": setting.seed, "steps": setting.steps,
        "orders": setting.orders, "nothing": nothing, "bounds": bounds, "columns": columns(subject),
        "methods": {name: {"title": METHODS[name].title, "says": METHODS[name].says} for name in methods},
        "left_out": {name: why for name, why in made.items() if isinstance(why, str)}, "inputs": inputs,
    }  # fmt: skip
    return found, tensors


def steady(subject: Subject) -> Tensor:
    """The scores "B K". UserError: they change from call to call, or with what else is in the batch."""
    import torch

    from ..core.errors import UserError

    x, net = subject.probe.input, subject.probe.scores
    do = "Its dropout and batch normalisation must follow model.eval()"
    with torch.no_grad():
        scores, again = net(x.clone()), net(x.clone())
        other = net(torch.cat([x, x.flip(-1) * 0.5]))[: len(x)]
    near = 1e-3 * max(1.0, float(scores.abs().max()))
    for second, got in ((again, "different answers to the same input"),
                        (other, "an answer that changes with the other inputs of the batch")):  # fmt: skip
        if not float((scores - second).abs().max()) <= near:
            raise UserError("a net that is not in training", got, do, subject.trained.entry.name)
    return scores


def chosen(subject: Subject, word: str) -> int:
    """The number of the class that is called so. UserError: there is none."""
    from ..core.errors import UserError, nearest

    if word in subject.labels:
        return subject.labels.index(word)
    few = ", ".join(subject.labels[:12]) + (", ..." if len(subject.labels) > 12 else "")
    do = nearest(word, subject.labels, "Name one of these")
    raise UserError(f"a class of this run ({few})", f"--against {word}", do, subject.trained.entry.name)


def emptied(subject: Subject) -> tuple[Any, str]:
    """An input that shows nothing, and what that is in words: the mean row of a table, 0 where that is no end of the
    range or its low one, else the lowest legal number."""
    import torch

    probe, mean = subject.probe, subject.trained.facts.get("mean")
    if probe.input.dim() == 2 and isinstance(mean, list) and len(mean) == probe.input.shape[1]:
        return torch.tensor(mean, dtype=probe.input.dtype), "the mean row of the training data"
    if probe.low <= 0 < probe.high or probe.low == -math.inf:
        return 0.0, "black" if (probe.low, probe.high) == (0, 255) else "zeros"
    return probe.low, f"all {probe.low:g}"


def columns(subject: Subject) -> list[str] | None:
    """What the numbers of a row are called."""
    names, x = subject.trained.facts.get("names"), subject.probe.input
    if x.dim() != 2:
        return None
    if not isinstance(names, list):
        specs = subject.trained.facts.get("columns")
        names = [one.get("name") for one in specs] if isinstance(specs, list) else []
    return list(map(str, names)) if len(names) == x.shape[1] else [f"input {i + 1}" for i in range(x.shape[1])]


def ranking(row: Tensor, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """The ten likeliest answers."""
    from ..media import Ranking

    return Ranking.of(row.softmax(-1), labels).plain()[:10]


def told(kept: dict[str, Map], b: int) -> list[dict[str, Any]]:
    """The maps of one input, the best first."""
    from ..parts.maps import METHODS

    found = []
    for name, one in kept.items():
        trust = one.trust[b]
        figures = {key: value for key, value in trust._asdict().items() if key != "empty"}
        found.append({"method": name, "title": METHODS[name].title, **figures, "gain": trust.gain,
                      "trusted": trust.trusted, "sentence": trust.sentence})  # fmt: skip
    return sorted(found, key=lambda one: (not one["trusted"], -one["gain"]))


def recordings(asked: Question) -> list[list[dict[str, Any]]]:
    """The net's own attention and gates for each input, as heat maps of few places, heads and units."""
    from ..media import Heat
    from ..parts.recorded import GATES, Attention, recorded

    found: list[list[dict[str, Any]]] = [[] for _ in asked.input]
    layers = 0
    for one in recorded(asked.scores, asked.input):
        layers += isinstance(one, Attention)
        for b, heats in enumerate(found):
            if isinstance(one, Attention):
                if len(one.weights) != len(asked.input):
                    continue  # over something else than these inputs
                for h, head in enumerate(one.weights[b, :MOST_HEADS]):
                    values = head[:MOST_INSIDE, :MOST_INSIDE].float().cpu().numpy()
                    places = [[str(i + 1) for i in range(n)] for n in values.shape]
                    heat = Heat(values, *places, ylabel="looks from", xlabel="looks at").plain()
                    heats.append({"title": f"Attention {layers}, head {h + 1}", "heat": heat})
            elif one.gates.shape[1] == len(asked.input):
                way = ", backward" if one.backward else ""
                for gate, values in zip((*GATES, "cell"), (*one.gates[:, b], one.cells[b]), strict=True):
                    shown = values[:MOST_INSIDE, :MOST_UNITS].T.float().cpu().numpy()
                    places = [[str(i + 1) for i in range(n)] for n in shown.shape]
                    heat = Heat(shown, *places, ylabel="unit", xlabel="step").plain()
                    heats.append({"title": f"LSTM layer {one.layer + 1}{way}: {gate}", "heat": heat})
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The answer for the terminal."""
    text = [f"{found['system']}: what speaks for its answers; nothing is {found['nothing']}"]
    for one in found["inputs"]:
        best = one["answer"][0]
        truth = f", is {one['truth']}" if one["truth"] is not None else ""
        text.append(f"{one['name']}: {best['label']} ({100 * best['chance']:.1f} %{truth}); why {one['explained']}:")
        for each in one["maps"]:
            mark = "+" if each["trusted"] else "-"
            text.append(f"  {mark} {each['title']:23}{each['gain']:+6.1f} points over chance. {each['sentence']}")
    return text + [f"  left out: {name}: {why}" for name, why in found["left_out"].items()]
