"""What a doctor needs to know of a run's data and of its trained model; kept in report.json as `checks`."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import torch
from torch import Tensor, nn

from ..core.source import key
from ..core.system import System
from ..parts.vitals import short

MOST_EXAMPLES = 70_000  # of a split that are looked at
MOST_VALUES = 1024  # of an example that are looked at
LARGEST = 1 << 20  # values of an example: larger ones are not read for this
BATCHES = 8  # looked at for their order
SAID = ("closed", "shifted", "hard")  # by a page of its data, so that the doctor does not take them for faults
SAMPLE = 2000  # examples that the trained model is asked about


def data_checks(knobs: Any, data: Any) -> dict[str, Any]:
    """For each split: `count`, `mean` and `spread` of the inputs, `moving` (spread between examples), `classes` (how
    often each occurs); `shared`: percent of the split's inputs that are among the training inputs; `mixed`: entropy of
    the labels in a batch as a share of that in all (1: well mixed); what the page says of its data: `closed` (these are
    all examples there are), `shifted` (splits differ by design), `hard` (nets may stay at chance). {} where there are
    no such sources; `world` alone where the page plays in one.
    """
    if hasattr(data, "fresh"):
        return {"world": True}
    sources = [getattr(data, name, None) for name in ("train", "valid", "test")]
    if any(source is None or not hasattr(source, "sweep") for source in sources):
        return {}
    labels = data.facts.get("labels")
    found: dict[str, Any] = {}
    known: set[bytes] = set()
    for name, source in zip(("train", "valid", "test"), sources, strict=True):
        one, keys = _split(source, len(labels) if labels else 0)
        known = known or set(keys)
        one["distinct"] = len(set(keys))
        one["shared"] = round(100 * sum(k in known for k in keys) / max(1, len(keys)), 3)
        found[name] = one
    size = getattr(knobs, "batch", 0)
    counts = found["train"].get("classes")
    if counts and size and sum(c > 0 for c in counts) > 1 and hasattr(sources[0], "batch"):
        found["mixed"] = _mixed(sources[0], min(size, len(sources[0])), counts)
    found |= {word: data.facts.get("data", {}).get(word, False) for word in SAID}
    return found


def _split(source: Any, classes: int) -> tuple[dict[str, Any], list[bytes]]:
    """The figures of one split, and a key for each example's input."""
    keys: list[bytes] = []
    sums = torch.zeros(3, dtype=torch.float64)  # how many values, their sum, their squares
    first, moved, counts, seen = None, 0.0, torch.zeros(max(classes, 1), dtype=torch.long), 0
    for batch in source.sweep(500):
        rows = batch[0].detach().cpu().reshape(len(batch[0]), -1)
        if rows.shape[1] <= LARGEST:
            rows = rows[:, :: max(1, rows.shape[1] // MOST_VALUES)].contiguous()
            # A sequence is padded with zeros to the longest of its batch: they are not its content.
            texts = (row.tobytes().rstrip(b"\0") for row in rows.numpy())
            keys += [hashlib.blake2b(text, digest_size=8).digest() for text in texts]
            there = ~rows.isnan()  # what a table does not give says nothing
            values = torch.where(there, rows.double(), 0.0)
            sums += torch.stack([there.sum().double(), values.sum(), values.square().sum()])
            first = values[0] if first is None or len(first) != values.shape[1] else first
            moved = max(moved, float((values - first).abs().max()))
        if classes and len(batch) > 1 and batch[1].dim() == 1 and not batch[1].is_floating_point():
            counts += torch.bincount(batch[1].cpu(), minlength=classes)[:classes]
        seen += len(rows)
        if seen >= MOST_EXAMPLES:
            break
    n, total, squares = sums.tolist()
    mean = total / max(n, 1)
    found: dict[str, Any] = {"count": len(source), "mean": short(mean),
                             "spread": short(math.sqrt(max(0.0, squares / max(n, 1) - mean * mean))),
                             "moving": short(moved)}  # fmt: skip
    if classes and int(counts.sum()):
        found["classes"] = counts.tolist()
    return found, keys


def _mixed(source: Any, size: int, counts: list[int]) -> float | None:
    """How mixed the labels of the first batches are."""
    within = []
    for step in range(BATCHES):
        label = source.batch(step, size)[1]
        if label.dim() != 1:  # labels that were blended
            return None
        within.append(entropy(torch.bincount(label.cpu(), minlength=len(counts)).double()))
    # A small batch cannot hold all classes: what well mixed ones of this size would have, drawn from the same counts.
    share = torch.tensor(counts, dtype=torch.float64)
    rng = torch.Generator().manual_seed(key("mixed", size))
    tries = torch.multinomial(share.expand(64, -1), size, True, generator=rng)
    drawn = [entropy(torch.bincount(one, minlength=len(counts)).double()) for one in tries]
    return round(sum(within) / len(within) / max(sum(drawn) / len(drawn), 1e-9), 3)


def entropy(counts: Tensor) -> float:
    """In nats."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * share.log()).sum())


def model_checks(system: System[Any, Any, Any, Any], knobs: Any, model: nn.Module, data: Any) -> dict[str, Any]:
    """Of a page with a loss: `train` and `valid` terms of it in evaluation mode over at most SAMPLE examples; `random`:
    whether a second evaluation differs; `mates`: whether an example's answer depends on the others in its batch;
    `squashed`: whether scores are already chances; `frozen`: share of the weights that ask for no gradient; `norms`:
    whether there is batch normalisation; `batch`.
    """
    if system.loss is None or not hasattr(data, "train"):
        return {}
    was = model.training
    model.eval()
    with torch.inference_mode():
        found = {name: _terms(system, model, getattr(data, name)) for name in ("train", "valid")}
        batch = next(iter(data.valid.sweep(16)))
        found |= _asked(system, model, batch) if system.probe else {}
    model.train(was)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    found["frozen"] = round(100 * sum(n for n, free in sizes if not free) / max(1, sum(n for n, _ in sizes)), 2)
    found["norms"] = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    found["batch"] = getattr(knobs, "batch", 0)
    return found


def _terms(system: System[Any, Any, Any, Any], model: nn.Module, source: Any) -> dict[str, Any]:
    sums: dict[str, float] = {}
    over = 0
    assert system.loss is not None
    for batch in source.sweep(250):
        for name, value in system.loss(model, batch).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(batch[0])
        over += len(batch[0])
        if over >= SAMPLE:
            break
    return {name: short(value / max(1, over)) for name, value in sums.items()}


def _asked(system: System[Any, Any, Any, Any], model: nn.Module, batch: Any) -> dict[str, Any]:
    """The same question twice, and one example of it alone."""
    assert system.probe is not None

    def scores(of: Any) -> Tensor:
        torch.manual_seed(asked := asked_before[0] + 1)
        asked_before[0] = asked
        look = system.probe(model, of)  # type: ignore[misc]
        return look.scores(look.input).float().reshape(len(of[0]), -1)  # one number per row is a vector

    asked_before = [0]
    once, twice, alone = scores(batch), scores(batch), scores(type(batch)(*(field[:1] for field in batch)))
    scale = float(once.std().clamp(min=1e-6))
    total = once.sum(1)
    squashed = bool(once.min() >= 0 and once.max() <= 1 and (total - 1).abs().max() < 1e-3)
    return {
        "random": float((once - twice).abs().max()) > 1e-3 * scale,
        "mates": float((once[:1] - alone).abs().max()) > 1e-2 * scale,
        "squashed": squashed,
    }
