"""What the layers of a trained net hold, whatever its inputs are: counts, what can be read where, likeness, concepts,
mistakes and the training examples behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import UserError, nearest
from ..core.score import wilson
from ..core.source import key
from ..parts import similarity
from ..parts.census import census
from ..parts.ensemble import Ensemble
from ..parts.memory import free_memory
from ..parts.watch import Layer, Step, Watch, flat, layers_of, responses, steps_of
from ..trained import Trained
from .subject import of, prepared, read_inputs

TEST, TRAIN = 1000, 1000  # examples that are looked at, evenly out of all
ALIKE = 500  # of the test examples, for likeness
FEWEST_ALIKE = similarity.FEWEST  # test examples, without which there is no likeness
MOST_LAYERS = 12  # that are read and compared, evenly out of all
WIDEST = 4096  # values of a layer that are kept of an example; larger maps are averaged over neighbours
SPLITS, FEWEST = 20, 8  # draws of other examples for a concept; examples that a concept needs
OTHERS = 400  # training examples that they are drawn from
ASKED = 50  # test examples of a class, for a concept
WORST, NEAR = 8, 4  # mistakes that are shown, and training examples beside each
LARGEST_CHUNK = 250  # examples
INPUT = "input"


class Examples(NamedTuple):
    """Inputs as the probe takes them, and their classes."""

    input: Tensor  # N ...
    target: Tensor  # N


class Net(NamedTuple):
    """A net to be looked into."""

    name: str
    trained: Trained
    model: nn.Module
    run: Callable[[Tensor], Tensor]  # input -> scores "B K"
    low: float
    high: float
    train: Examples
    test: Examples
    batch: Any  # of the test examples, as the page has them
    data: str
    labels: tuple[str, ...]
    steps: list[Step]
    layers: list[Layer]
    used: dict[str, set[str]]  # by layer: its parameters
    chunk: int
    notes: list[str]  # what the reader must know

    @property
    def pictured(self) -> bool:
        """Whether the inputs are pictures, grey or in colour."""
        shape = self.test.input.shape
        return len(shape) == 4 and shape[1] in (1, 3) and self.low > -1e30 and self.high < 1e30

    @property
    def last(self) -> Layer | None:
        """The last hidden layer; None for a net without."""
        return self.layers[-2] if len(self.layers) > 1 else None

    def step(self, name: str) -> Step:
        """The step of a name."""
        return next(step for step in self.steps if step.name == name)


def opened(trained: Trained, chunk: int = 0) -> Net:
    """The net of a run with examples of its own data. UserError as `subject.of`, and: a net without layers."""
    few = of(trained, (), 8)  # says why not, where it cannot be
    system, name, model = trained.system, trained.entry.name, trained.model
    notes = []
    if isinstance(model, Ensemble):
        first = int(model.shares.nonzero()[0, 0])
        notes.append(f"The run is {len(model.members)} nets that answer as one; this is net {first + 1} alone.")
        model = model.members[first]
    data = prepared(trained)
    assert system.probe is not None, "checked above"
    batch, old = picked(data.test, TEST), picked(data.train, TRAIN)
    probe, before = system.probe(model, batch), system.probe(model, old)
    test = Examples(probe.input.float(), probe.target)
    run = system.probe(model, few.batch).scores
    with torch.no_grad(), Watch(model) as seen:
        run(test.input[:2])
    steps = steps_of(model, run, test.input[:2])
    layers = layers_of(steps)
    if not layers:
        got = "a net in whose pass no product of weights is met"
        raise UserError("convolutions, linear or recurrent layers", got, "Look at one of its inputs instead", name)
    again = sorted(layer.name for layer in layers if seen.calls[layer.name] > 1)
    if again:
        names = ", ".join(again[:6])
        notes.append(f"Reached several times in one pass, and shown as they are the first time: {names}.")
    size = max(1, 4 * sum(math.prod(step.shape[1:]) for step in steps))
    train = Examples(before.input.float(), before.target)
    return Net(name, trained, model, run, probe.low, probe.high, train, test, batch, data.test.name, few.labels, steps,
               layers, dict(seen.used), chunk or chunk_for(size), notes)  # fmt: skip


def chunk_for(bytes_each: int) -> int:
    """Examples at a time, for so many bytes of all that a pass puts out: a tenth of what is free, three times over
    for gradients."""
    return int(min(LARGEST_CHUNK, max(1, free_memory() // 10 // (3 * bytes_each))))


def picked(source: Any, most: int) -> Any:
    """At most `most` examples of a source, evenly out of all: files may be in the order of their classes."""
    wanted = torch.linspace(0, len(source) - 1, min(most, len(source)), dtype=torch.float64).round().long().unique()
    parts, at = [], 0
    for batch in source.sweep(500):
        rows = wanted[(wanted >= at) & (wanted < at + len(batch[0]))] - at
        if len(rows):
            parts.append(type(batch)(*(field[rows] for field in batch)))
        at += len(batch[0])
    return type(parts[0])(*map(torch.cat, zip(*parts, strict=True)))


def some(layers: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of a list, evenly, the first and the last among them."""
    if len(layers) <= most:
        return list(layers)
    return [layers[round(k * (len(layers) - 1) / (most - 1))] for k in range(most)]


def layer_of(net: Net, name: str) -> Layer:
    """The layer that the user named. UserError: there is none."""
    found = next((layer for layer in net.layers if name in (layer.name, layer.out, layer.total, layer.pool)), None)
    if found is None:
        names = [layer.name for layer in net.layers]
        do = nearest(name, names, f"There are: {', '.join(names)}")
        raise UserError("a layer of this net", f"--layer {name}", do, net.name)
    return found


def end(layer: Layer) -> str:
    """The step whose value the next layer sees."""
    return layer.pool or layer.out


def compact(name: str, value: Tensor) -> Tensor:
    """A row for each example; maps of more than WIDEST values are averaged over neighbours."""
    if value.dim() == 4 and value[0].numel() > WIDEST:
        side = max(1, int((WIDEST / value.shape[1]) ** 0.5))
        value = F.adaptive_avg_pool2d(value, (min(side, value.shape[2]), min(side, value.shape[3])))
    return value.flatten(1)


def features(net: Net, input: Tensor, layers: Sequence[Layer]) -> dict[str, Tensor]:
    """By layer, what the next one sees of it, a row for each example; first the input itself."""
    found = responses(net.model, net.run, input, [end(layer) for layer in layers], net.chunk, compact)
    by_name = {layer.name: torch.cat(found[end(layer)]) for layer in layers}
    return {INPUT: torch.cat([compact("", part) for part in input.split(net.chunk)]), **by_name}


def counted(net: Net) -> dict[str, Any]:
    """Shapes, parameters and multiply-adds, layer by layer."""
    lines = census(net.model, net.run, net.test.input[:1])
    return {
        "parameters": sum(line.parameters for line in lines),
        "multiply_adds": sum(line.multiply_adds for line in lines), "input": list(net.test.input.shape[1:]),
        "census": [{**line._asdict(), "shape": list(line.shape)} for line in lines],
    }  # fmt: skip


def read_out(net: Net, old: dict[str, Tensor], new: dict[str, Tensor]) -> list[dict[str, Any]]:
    """How well a line through each layer tells the classes apart: percent of test examples, with Wilson's interval."""
    found = []
    for name, rows in old.items():
        said, penalty = similarity.probe(rows, net.train.target, new[name], len(net.labels))
        right = int((said == net.test.target).sum())
        low, high = wilson(right, len(said))
        found.append({"layer": name, "accuracy": 100 * right / len(said), "low": low, "high": high, "penalty": penalty,
                      "values": rows.shape[1]})  # fmt: skip
    return found


def laid_out(net: Net, new: dict[str, Tensor], kind: str, focus: str, seed: int) -> list[dict[str, Any]]:
    """The test examples as points, by what some layers say of them. UserError: t-SNE without scikit-learn."""
    names, maps = list(new), []
    middle = [names[len(names) // 2]] if kind == "pca" and len(names) > 3 else []
    for name in dict.fromkeys([INPUT, *middle, focus]):
        spots, shares = similarity.principal(new[name], 2 if kind == "pca" else 50)
        found = {"layer": name, "kind": kind, "explained": shares[:2]}
        if kind == "tsne":
            try:
                from sklearn.manifold import TSNE
            except ImportError:
                do = 'Install it: pip install "milestones[tables]", or take --map pca'
                raise UserError("scikit-learn, which makes the map of --map tsne", "none installed", do) from None
            near = min(30.0, (len(spots) - 1) / 3)
            spots = torch.from_numpy(TSNE(perplexity=near, init="pca", random_state=seed % 2**32)
                                     .fit_transform(spots.numpy()))  # fmt: skip
            found["explained"] = []
        spots = F.pad(spots, (0, max(0, 2 - spots.shape[1])))  # a layer of one unit is a line
        found["points"] = [[float(f"{v:.4g}") for v in spot] for spot in spots.tolist()]
        maps.append(found)
    return maps


def alike(new: dict[str, Tensor], other: dict[str, Tensor] | None = None) -> dict[str, Any]:
    """Unbiased linear CKA of all layers with each other, or with those of another run."""
    values = similarity.cka([rows[:ALIKE] for rows in new.values()],
                            None if other is None else [rows[:ALIKE] for rows in other.values()])  # fmt: skip
    return {"rows": list(new), "columns": list(new if other is None else other), "over": min(ALIKE, len(new[INPUT])),
            "values": [[round(v, 5) for v in row] for row in values.tolist()]}  # fmt: skip


def companion(net: Net, other: Trained) -> Trained:
    """Another run whose layers can be compared with this one's. UserError: it takes other inputs."""
    if len(net.test.input) < FEWEST_ALIKE:
        got = f"{len(net.test.input)} in {net.data}"
        raise UserError(f"{FEWEST_ALIKE} test examples for --beside", got, "Take a run of more data", net.name)
    their = of(other, (), 2)
    ours, theirs = net.test.input.shape[1:], their.probe.input.shape[1:]
    same = ours == theirs and type(their.batch) is type(net.batch)
    if not same or (their.probe.low, their.probe.high) != (net.low, net.high):
        got = f"{other.folder.name} with {' x '.join(map(str, theirs))} instead of {' x '.join(map(str, ours))}"
        got += "" if ours != theirs else " of another kind"
        raise UserError("--beside a run that takes the same inputs", got, "Name a run of the same data", net.name)
    return other


def beside(net: Net, new: dict[str, Tensor], other: Trained) -> dict[str, Any]:
    """The layers of two runs compared on this run's test examples."""
    model = other.model.members[0] if isinstance(other.model, Ensemble) else other.model
    assert other.system.probe is not None, "checked by `companion`"
    run = other.system.probe(model, net.batch).scores
    layers = some(layers_of(steps_of(model, run, net.test.input[:2])), MOST_LAYERS)
    found = responses(model, run, net.test.input[:ALIKE], [end(layer) for layer in layers], net.chunk, compact)
    rows = {INPUT: new[INPUT], **{layer.name: torch.cat(found[end(layer)]) for layer in layers}}
    return {"run": other.folder.name, **alike(new, rows)}


def examples_of(net: Net, folder: str) -> Tensor:
    """The user's examples of a concept, as the net's inputs. UserError: too few, or of another kind."""
    batch, names = read_inputs(net.trained, [folder])
    if len(names) < FEWEST:
        do = "Add some: 30 and more make it surer"
        raise UserError(f"{FEWEST} examples of the concept or more", f"{len(names)} in {folder}", do, net.name)
    assert net.trained.system.probe is not None, "checked when the net was opened"
    return net.trained.system.probe(net.model, batch).input.float()


def concept(net: Net, name: str, own: Tensor, layers: Sequence[Layer], seed: int) -> dict[str, Any]:
    """Which classes' scores rise towards a concept of the user's (TCAV, Kim et al. 2018), layer by layer.

    A direction is drawn SPLITS times, each time against other training examples; as often, directions between two
    draws of these, which say what comes of no concept at all.
    """
    steps = [end(layer) for layer in layers]
    others = net.train.input[:OTHERS]
    count = min(len(own), len(others) // 2)
    draws = similarity.draws(len(others), 2 * count, SPLITS, key(seed, "concept"))
    mine = flat(net.model, net.run, own, steps, net.chunk)
    theirs = flat(net.model, net.run, others, steps, net.chunk)
    rows, told = [], {}
    asked = torch.cat([(net.test.target == k).nonzero()[:ASKED, 0] for k in range(len(net.labels))])
    examples = Examples(net.test.input[asked], net.test.target[asked])
    tests = len(layers) * len(examples.target.unique())
    for layer, step in zip(layers, steps, strict=True):
        slope = slopes(net, examples, layer)
        towards = [similarity.direction(mine[step], theirs[step][draw[:count]]) for draw in draws]
        nowhere = [similarity.direction(theirs[step][d[:count]], theirs[step][d[count:]]) for d in draws]
        told[layer.name] = sum(one.right for one in towards) / SPLITS
        for k, label in enumerate(net.labels):
            here = slope[examples.target == k]
            if not len(here):
                continue
            shares, none = ([similarity.rising(here, one.vector) for one in group] for group in (towards, nowhere))
            chance = similarity.differ(shares, none)
            mean, spread = torch.tensor(shares).mean(), torch.tensor(shares).std()
            rows.append({
                "layer": layer.name, "class": label, "share": float(mean), "spread": float(spread),
                "other": float(torch.tensor(none).mean()), "chance": chance, "over": len(here),
                "significant": chance * tests < 0.05,
            })  # fmt: skip
    return {"folder": name, "examples": len(own), "splits": SPLITS, "tests": tests, "told": told, "rows": rows}


def slopes(net: Net, examples: Examples, layer: Layer) -> Tensor:
    """The gradient of each example's score for its own class by what the layer hands on, "N D"."""
    name, found = end(layer), []
    with Watch(net.model, (name,), cut=True) as seen, torch.enable_grad():
        for input, target in zip(*(field.split(net.chunk) for field in examples), strict=True):
            score = net.run(input).gather(1, target[:, None]).sum()
            (slope,) = torch.autograd.grad(score, seen.found[name])
            found.append(slope.flatten(1))
            seen.clear()
    return torch.cat(found)


def mistaken(net: Net, old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Any]:
    """The confusion matrix of the test examples, and the mistakes that the net was surest of, each with the training
    examples that the last hidden layer finds most alike."""
    with torch.no_grad():
        scores = torch.cat([net.run(part) for part in net.test.input.split(net.chunk)])
    said, target, chance = scores.argmax(-1), net.test.target, scores.softmax(-1)
    counts = torch.zeros(len(net.labels), len(net.labels), dtype=torch.long)
    counts.index_put_((target, said), torch.ones_like(target), accumulate=True)
    wrong = (said != target).nonzero()[:, 0]
    wrong = wrong[chance[wrong, said[wrong]].argsort(descending=True, stable=True)][:WORST]
    name = net.last.name if net.last is not None and net.last.name in new else INPUT
    near = similarity.nearest(old[name], new[name][wrong], NEAR) if len(wrong) else torch.zeros(0, NEAR).long()
    mistakes = [
        {"example": int(i), "true": net.labels[int(target[i])], "said": net.labels[int(said[i])],
         "chance": float(chance[i, said[i]]),
         "near": [{"example": int(j), "class": net.labels[int(net.train.target[j])]} for j in near[row]]}
        for row, i in enumerate(wrong)
    ]  # fmt: skip
    right = int((said == target).sum())
    return {"confusion": {"labels": list(net.labels), "counts": counts.tolist()}, "mistakes": mistakes, "by": name,
            "accuracy": 100 * right / len(target)}  # fmt: skip
