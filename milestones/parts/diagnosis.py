"""A doctor's rules: from what a run wrote to what is wrong with it, how sure that is, and what to change.

Thresholds were set on the open half of benchmarks/faults.json and on healthy presets; benchmarks/faults.py prints what
they find in the half that was held back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Any, Literal, NamedTuple

FEWEST_STEPS = 50  # before that nothing is said of how it learns
BLANK = 95  # percent of the training examples of which nothing is read, under CTC
SILENT = 70  # percent of a layer's units; rectified nets of many units do well with half of them silent over a batch

Sure = Literal["certain", "likely", "possible"]
ORDER = ("certain", "likely", "possible")
BECAUSE = {  # a finding: what may cause it
    "dead_units": ("rate_high", "inputs_unscaled"),
    "saturated": ("rate_high", "ascending", "inputs_unscaled"),
    "exploding": ("inputs_unscaled",),
    "vanishing": ("inputs_unscaled",),
    "rate_high": ("inputs_unscaled", "ascending"),
    "overfitting": ("class_missing", "leakage"),
}


def layers_of(vitals: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The layers of a look as it was written, those that are whole."""
    found = vitals.get("layers")
    return [one for one in found if isinstance(one, dict) and "name" in one] if isinstance(found, list) else []


class Finding(NamedTuple):
    """One thing that is wrong."""

    name: str
    sure: Sure
    says: str  # what is wrong, with the figures that show it
    do: str  # what to change

    def __str__(self) -> str:
        return f"{self.sure}: {self.says}. {self.do}."


class Case(NamedTuple):
    """What is known of a run. Missing figures are nan, missing lists empty."""

    looks: list[dict[str, Any]]  # at the stage with the most steps, in order: step, norm, layers
    still: list[str]  # weights that ask for gradients and never moved, in any stage
    losses: list[float]  # training loss of that stage, as it was logged
    data: Mapping[str, Any]  # report/checks.py: data_checks
    model: Mapping[str, Any]  # report/checks.py: model_checks
    labels: list[str]
    frozen: bool  # the user asked for frozen weights
    problem: str  # how the run failed, "" if it did not
    final: bool = False  # the validation examples were learned from on purpose

    @property
    def counts(self) -> list[float]:
        """How often each class occurs in training."""
        found = part(self.data, "train").get("classes")
        counts = [number(count) for count in found] if isinstance(found, list) else []
        return counts if all(map(math.isfinite, counts)) else []

    @property
    def chance(self) -> float:
        """Percent of wrong answers of who always says the most frequent class; nan without classes."""
        return 100 * (1 - max(self.counts) / total) if (total := sum(self.counts)) > 0 else math.nan

    def error(self, split: str) -> float:
        """Percent of wrong answers in evaluation mode; nan where the page has no such term."""
        return number(part(self.model, split).get("error"))

    @property
    def update(self) -> float:
        """The median share of its size by which the weights move in a step, the first look and the last left out."""
        middle = self.looks[1:-1] or self.looks
        moves = [number(layer.get("update")) for look in middle for layer in layers_of(look) if layer.get("update")]
        return median(moves) if moves else math.nan

    @property
    def burst(self) -> float:
        """The largest median share, over the layers, by which an early step moves the weights."""
        early = [[number(layer.get("update")) for layer in layers_of(look) if number(layer.get("weight")) > 1e-8]
                 for look in self.looks[:3]]  # fmt: skip
        return max((median(moves) for moves in early if moves), default=math.nan)

    @property
    def steps(self) -> float:
        return number(self.looks[-1].get("step")) if self.looks else 0.0

    def fell(self) -> float:
        """The last losses as a share of the first; nan where either is no positive number."""
        few = max(1, len(self.losses) // 20)
        first, last = sum(self.losses[:few]) / few, sum(self.losses[-few:]) / few
        return last / first if first > 0 else math.nan


def number(value: object) -> float:
    """The value if it is a number that can be reckoned with, else nan."""
    real = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
    return float(value) if real else math.nan


def times(share: float) -> str:
    """A share of a size in words."""
    return (
        f"{share:,.2g} times"
        if 1 <= share < 100
        else f"{share:,.0f} times"
        if share >= 100
        else f"{100 * share:.2g} % of"
    )


def part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A record in a record, {} where there is none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def case(lines: Iterable[Mapping[str, Any]], checks: Mapping[str, Any], labels: object = None, frozen: bool = False,
         problem: str = "", final: bool = False) -> Case:  # fmt: skip
    """The case of a log's lines and a report's checks; they may be damaged. `final`: the validation examples were
    learned from on purpose."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        stages.setdefault(str(line.get("stage")), []).append(line)
    mine = max(stages.values(), key=lambda one: number(one[-1].get("step")), default=[])
    moved: dict[str, float] = {}  # by weight: the largest update that a gradient caused
    for line in (line for one in stages.values() for line in one):
        for layer in layers_of(part(line, "vitals")):
            if layer.get("free"):  # weight decay moves what no gradient reaches, too
                name, most = str(layer["name"]), number(layer.get("update"))
                moved[name] = max(moved.get(name, 0.0), 0.0 if layer.get("gradient") == 0 else most)
    return Case(
        looks=[{"step": line.get("step"), **line["vitals"]} for line in mine if isinstance(line.get("vitals"), dict)],
        still=[name for name, most in moved.items() if most == 0.0],
        losses=[loss for line in mine if math.isfinite(loss := number(line.get("loss")))],
        data=part(checks, "data"), model=part(checks, "model"),
        labels=[str(label) for label in labels] if isinstance(labels, list) else [],
        frozen=frozen, problem=problem, final=final,
    )  # fmt: skip


def diagnose(of: Case) -> list[Finding]:
    """All that is wrong, the surest first; what may follow from another finding comes after it, and what a finding
    explains fully is left out."""
    found: list[Finding] = [*_data(of)]
    names = {one.name for one in found}
    found += _model(of)
    if "inputs_constant" not in names and not _alone(of):
        found += _signals(of)
    found += _learning(of, {one.name for one in found})
    causes = {one.name for one in found}
    return sorted(found, key=lambda one: (not causes.isdisjoint(BECAUSE.get(one.name, ())), ORDER.index(one.sure)))


def _data(of: Case) -> Iterator[Finding]:
    counts, train = of.counts, part(of.data, "train")
    present = sum(count > 0 for count in counts)
    if len(counts) > 1 and present == 1:
        yield Finding("labels_constant", "certain", "all training examples have the same label",
                      "Check the column or the folders that the labels come from")  # fmt: skip
    elif present < len(counts):
        missing = [of.labels[k] if k < len(of.labels) else str(k) for k, count in enumerate(counts) if not count]
        yield Finding("class_missing", "certain", f"no training example of {', '.join(missing[:5])}",
                      "Add examples of it, or take the class out")  # fmt: skip
    constant = number(train.get("moving")) == 0 and number(train.get("count")) > 1
    if constant:
        yield Finding("inputs_constant", "certain", "all training inputs are the same",
                      "Check how the inputs are read")  # fmt: skip
    elif (share := number(of.data.get("mixed"))) < 0.6:
        yield Finding("unshuffled", "certain", f"batches hold {100 * share:.0f} % of the variety of labels there is",
                      "Shuffle the training examples")  # fmt: skip
    if constant:
        return
    splits = {title: part(of.data, name) for name, title in (("valid", "validation"), ("test", "test"))}
    shared = {title: number(split.get("shared")) for title, split in splits.items()}
    if of.final:
        del shared["validation"]
    told = [f"{share:.1f} % of the {title} inputs" for title, share in shared.items() if share >= 1]
    if told and not of.data.get("closed"):
        yield Finding("leakage", "certain", f"{' and '.join(told)} are also training inputs",
                      "Take them out of one of the two: figures on them are too good")  # fmt: skip
    mean, spread = number(train.get("mean")), number(train.get("spread"))
    for title, split in splits.items():
        gap, wider = number(split.get("mean")) - mean, number(split.get("spread")) / spread if spread else math.nan
        if (abs(gap) > 0.5 * spread or wider > 2 or wider < 0.5) and not of.data.get("shifted"):
            there = f"{number(split.get('mean')):.3g} and spread {number(split.get('spread')):.3g}"
            yield Finding("split_shift", "likely", f"{title} inputs have mean {there}, training inputs {mean:.3g} and "
                          f"{spread:.3g}", "Prepare both in the same way, from the same source")  # fmt: skip
            return


def _alone(of: Case) -> bool:
    """Whether a batch is one example, of which nothing can be said by comparison."""
    seen = [number(layer.get("examples")) for look in of.looks for layer in layers_of(look) if "examples" in layer]
    return bool(seen) and median(seen) == 1


def _model(of: Case) -> Iterator[Finding]:
    if of.model.get("norms") and (_alone(of) or of.model.get("batch") == 1):
        yield Finding("batch_of_one", "certain", "batch normalisation with a batch of 1 removes what it should measure",
                      "Take larger batches, or layer or group normalisation")  # fmt: skip
    if of.model.get("random") or of.model.get("mates"):
        how = "the same question gets two answers" if of.model.get("random") else \
              "an answer depends on what else is in the batch"  # fmt: skip
        yield Finding("random_evaluation", "certain", f"in evaluation {how}",
                      "Call model.eval() first; dropout and batch normalisation must follow it")  # fmt: skip
    if of.model.get("squashed"):
        yield Finding("squashed_outputs", "certain", "the model gives chances where the loss expects scores",
                      "Take out the last softmax: the loss has its own")  # fmt: skip
    if not of.frozen and (of.still or number(of.model.get("frozen")) > 50):
        what = f"{', '.join(of.still[:3])}{' ...' * (len(of.still) > 3)} never moved" if of.still else \
               f"{number(of.model.get('frozen')):.0f} % of the weights are frozen"  # fmt: skip
        yield Finding(
            "frozen", "certain", what, "Let gradients reach them: requires_grad, detach, the optimiser's list"
        )


def _signals(of: Case) -> Iterator[Finding]:
    """What goes wrong between the layers."""
    called = [[layer for layer in layers_of(look) if "examples" in layer] for look in of.looks]
    called = [layers for layers in called if layers]
    if not called:
        return
    first, last = called[0], called[-1]
    raw = first[0]
    if "spread" in raw:
        mean, spread = number(raw.get("mean")), number(raw.get("spread"))
        if spread > 8 or spread < 0.03 or abs(mean) > 5 * max(spread, 1.0):
            yield Finding("inputs_unscaled", "likely", f"the first layer's inputs have mean {mean:.3g} and spread "
                          f"{spread:.3g}", "Bring them to mean 0 and spread 1")  # fmt: skip
    hidden = [layer for layer in last[1:] if "spread" in layer]
    dead = max(hidden, key=lambda layer: number(layer.get("dead")), default={})
    worst = number(dead.get("dead"))
    if worst >= SILENT:
        yield Finding("dead_units", "certain" if worst > 90 else "likely", f"{worst:.0f} % of the units before "
                      f"{dead['name']} say the same to every example", "Lower the step size, or draw new starting "
                      "weights with biases near 0; a leaky unit cannot die")  # fmt: skip
    alike = [str(layer["name"]) for layer in hidden if layer.get("alike") and number(layer.get("dead")) < 99]
    if alike:
        yield Finding("symmetric", "certain", f"all units before {alike[0]} are copies of each other",
                      "Draw the starting weights at random")  # fmt: skip
    full = max(hidden, key=lambda layer: number(layer.get("saturated", 0.0)), default={})
    if number(full.get("saturated")) > 70:
        share = f"{number(full['saturated']):.0f} % of what reaches {full['name']}"
        yield Finding("saturated", "likely", f"{share} lies at the ends of its range, where slopes are near 0",
                      "Draw smaller starting weights, or lower the step size")  # fmt: skip
    spreads = [number(layer["spread"]) for layer in first if "spread" in layer]
    if len(spreads) > 1 and spreads[0] > 0 and not alike:
        grown = spreads[-1] / spreads[0]
        each = grown ** (1 / (len(spreads) - 1))
        if each < 0.1:
            yield Finding("vanishing", "likely", f"signals shrink to {grown:.1g} of their size on the way through the "
                          "layers, and gradients on the way back", "Draw larger starting weights (He, Glorot, LSUV), "
                          "or normalise between layers")  # fmt: skip
        elif each > 10:
            yield Finding("exploding", "likely", f"signals grow {grown:.3g} times on the way through the layers",
                          "Draw smaller starting weights (He, Glorot, LSUV), or normalise between layers")  # fmt: skip
    flows = [number(layer["flow"]) for layers in called[:3] for layer in layers if "flow" in layer]
    if flows and (flow := median(flows)) < 1e-4:
        yield Finding("vanishing", "possible", f"the first inputs in time get {flow:.1g} of the gradient that the last "
                      "ones get", "Take gates (LSTM, GRU), larger recurrent weights, or shorter sequences")  # fmt: skip
    elif flows and flow > 1e4:
        yield Finding("exploding", "possible", f"gradients grow {flow:.3g} times on the way back in time",
                      "Clip the gradient's norm, or draw smaller recurrent weights")  # fmt: skip


def _learning(of: Case, known: set[str]) -> Iterator[Finding]:
    """What goes wrong in the course of the training."""
    if "finite loss" in of.problem:
        moved = f"a step moved the weights by {times(of.update)} their size"
        yield Finding("rate_high", "likely", f"the loss left the finite numbers; {moved}", "Divide the step size by 10")
        return
    if (blank := number(part(of.model, "train").get("blank"))) >= BLANK:
        yield _all_blank(of, blank)
        return
    if of.steps < FEWEST_STEPS or not of.losses or of.data.get("world"):
        return  # in a world, the better an agent plays, the more there is to learn: its loss need not fall
    train, valid, chance, update, left = of.error("train"), of.error("valid"), of.chance, of.update, of.fell()
    untaught = train >= 0.8 * chance if math.isfinite(train * chance) else left > 0.9
    if (math.isfinite(chance) and min(of.losses) < 0) or left > 3:
        yield Finding("ascending", "likely", "the loss moves the wrong way",
                      "Check its sign: it is minimised; then the step size")  # fmt: skip
    moves = f"a step moves the weights by {times(update)} their size"
    harmed = untaught or train > 0.25 * chance or bool(known & {"dead_units", "saturated"})
    if (untaught and (update > 0.02 or of.burst > 0.2)) or (harmed and of.burst > 0.5):
        moves = f"an early step moved the weights by {times(of.burst)} their size" if update <= 0.02 else moves
        yield Finding("rate_high", "likely", f"nothing was learned, and {moves}", "Divide the step size by 10")
    elif left > 0.8 and update < 5e-5:
        yield Finding("rate_low", "likely", f"the loss hardly fell, and {moves}",
                      "Multiply the step size by 10, or more")  # fmt: skip
    elif not (untaught and of.data.get("hard")) and not known & {
        "frozen", "dead_units", "symmetric", "inputs_constant", "labels_constant", "unshuffled", "squashed_outputs",
        "vanishing", "saturated",
    }:  # fmt: skip
        yield from _labels(train, valid, chance, untaught, known)


def _all_blank(of: Case, blank: float) -> Finding:
    """A net under CTC that says nothing: why, as far as its steps tell."""
    says = f"nothing is read of {blank:.0f} % of the training examples: only blanks, as of any net under CTC at first; "
    step = f"a step moves the weights by {times(of.update)} their size, which is too"
    long = of.steps >= FEWEST_STEPS
    if long and (of.update > 0.02 or of.burst > 0.2):
        return Finding("all_blank", "certain", f"{says}{step} much to get out of it", "Divide the step size by 10")
    if long and of.update < 5e-5:
        return Finding("all_blank", "certain", f"{says}{step} little to get out of it", "Multiply the step size by 10")
    do = "Train longer; then check that the transcripts belong to the recordings, and begin with short ones"
    return Finding("all_blank", "certain", f"{says}it had {of.steps:,.0f} updates to get out of it", do)


def _labels(train: float, valid: float, chance: float, untaught: bool, known: set[str]) -> Iterator[Finding]:
    """Of errors in evaluation mode, in percent: are the labels wrong, or only learned by heart?"""
    if untaught and valid >= 0.8 * chance:
        what = f"nothing was learned at a sound step size: {train:.0f} % errors on what it was trained on"
        yield Finding("labels_wrong", "possible", what,
                      "Check that labels belong to their inputs; then try a larger net")  # fmt: skip
    elif train > 15 and train > 2.5 * valid:
        what = f"{train:.0f} % of the training labels are contradicted, {valid:.1f} % of the validation labels"
        yield Finding("labels_wrong", "likely", what, "Check the training labels: many are wrong")
    elif valid > train + 8 and valid > 2.5 * train and "split_shift" not in known:
        yield Finding("overfitting", "likely", f"{train:.1f} % errors in training, {valid:.1f} % in validation",
                      "Add examples or distortions, dropout, weight decay, or stop earlier")  # fmt: skip
