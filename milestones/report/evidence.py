"""What a classifier got wrong, and whether it knew: confusion, worst mistakes, suspicious labels, calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ..core.folder import write_whole
from ..core.system import System
from ..media import Image
from ..parts.calibration import answering, calibration_error, kept, log_loss, reliability, temperature
from ..parts.ensemble import Ensemble

WORST = 24
SURE = 0.95  # chance of another class, above which a training label is suspicious
MOST_LOOKED_AT = 10_000  # training examples
ERRORS = (0.5, 1.0, 2.0, 5.0)  # percent: how much is answered at these is told in the report


def examine(folder: Path, system: System[Any, Any, Any, Any], model: nn.Module, data: Any) -> dict[str, Any]:
    """`confusion`, `mistakes`, `suspects` and `calibration` of report.json for a page with a probe and labels; nothing
    for others.

    Mistakes are test pictures, those most sure of a wrong class first; suspects are training pictures whose label the
    trained model contradicts with a chance of SURE. Both are written to `shows/`.
    """
    labels = data.facts.get("labels") if hasattr(data, "facts") else None
    if not system.probe or not labels or not hasattr(data, "test"):  # a world has no examples of known classes
        return {}
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    valid = None if learned_from(data.valid) else outputs(system, model, data.valid)
    worst = _missed(system, model, data.test, None, seen)
    scores, target = (torch.cat(field) for field in zip(*seen, strict=True))
    counts = torch.zeros(len(labels), len(labels), dtype=torch.long)
    counts.index_put_((target, scores.argmax(-1)), torch.ones_like(target), accumulate=True)
    found: dict[str, Any] = {"confusion": {"labels": labels, "counts": counts.tolist()}}
    found["calibration"] = calibrated(scores, target, data.test, valid)
    if isinstance(model, Ensemble):
        found["members"] = _members(system, model, data.test, float((scores.argmax(-1) != target).double().mean()))
    found |= _kept(folder, "mistake", worst, labels)
    most = min(len(data.train), MOST_LOOKED_AT)
    doubted = [one for one in _missed(system, model, data.train, most) if one.chance >= SURE]
    return found | _kept(folder, "suspect", doubted, labels)


class Missed(NamedTuple):
    """An example that the model takes for another class."""

    chance: float
    target: int
    said: int
    input: torch.Tensor


def _missed(system: System[Any, Any, Any, Any], model: nn.Module, source: Any, most: int | None,
            scores: list[tuple[torch.Tensor, torch.Tensor]] | None = None) -> list[Missed]:  # fmt: skip
    """What the model is surest of and wrong among the first `most` of `source`; scores and targets go to `scores`."""
    worst: list[Missed] = []
    seen = 0
    with torch.inference_mode():
        for batch in source.sweep(500):
            probe = system.probe(model, batch)  # type: ignore[misc]
            answer = probe.scores(probe.input)
            sure, said = answer.softmax(-1).max(-1)
            if scores is not None:
                scores.append((answer.cpu(), probe.target.cpu()))
            for i in (said != probe.target).nonzero().flatten().tolist():
                worst.append(
                    Missed(float(sure[i]), int(probe.target[i]), int(said[i]), probe.input[i].to("cpu", copy=True))
                )
            worst = sorted(worst, key=lambda one: -one.chance)[:WORST]
            seen += len(said)
            if most is not None and seen >= most:
                break
    return worst


def _kept(folder: Path, kind: str, missed: list[Missed], labels: list[str]) -> dict[str, Any]:
    """The entry of report.json for these, their pictures written; {} where they are no pictures."""
    entries = []
    for number, one in enumerate(missed):
        if one.input.dim() != 3 or one.input.shape[0] not in (1, 3):
            break  # a table's row has nothing to show
        name = f"shows/{kind}-{number:02d}.png"
        write_whole(folder / name, Image.of(one.input).encode()[1])
        entries.append(
            {"true": labels[one.target], "said": labels[one.said], "chance": round(one.chance, 4), "picture": name}
        )
    return {f"{kind}s": entries} if entries else {}


@torch.inference_mode()
def outputs(system: System[Any, Any, Any, Any], model: nn.Module, source: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores "N K" and targets "N" over a sweep, by the page's probe."""
    probes = (system.probe(model, batch) for batch in source.sweep(500))  # type: ignore[misc]
    found = [(probe.scores(probe.input).cpu(), probe.target.cpu()) for probe in probes]
    scores, targets = zip(*found, strict=True)
    return torch.cat(scores), torch.cat(targets)


def learned_from(source: Any) -> bool:
    """Whether the validation examples were trained on (--split final): then they measure nothing."""
    place = getattr(source, "place", None)
    return place is not None and place.choice.split == "final"


def calibrated(scores: torch.Tensor, target: torch.Tensor, test: Any, valid: tuple[torch.Tensor, torch.Tensor] | None
               ) -> dict[str, Any]:  # fmt: skip
    """How far the chances can be trusted, measured on test examples; what is chosen is chosen on `valid`, if any:
    the temperature that the scores lack, and the thresholds below which nothing is answered. Rates in percent."""
    bins = reliability(scores, target)
    found: dict[str, Any] = {
        "data": test.name, "over": len(target), "error": calibration_error(bins), "log_loss": log_loss(scores, target),
        "bins": [one._asdict() for one in bins if one.count],
    }  # fmt: skip
    if valid is None:
        return found
    heat = temperature(*valid)
    bins, (sure, said) = reliability(scores / heat, target), scores.double().softmax(-1).max(-1)
    found["temperature"] = {
        "value": heat, "error": calibration_error(bins), "log_loss": log_loss(scores / heat, target)
    }  # fmt: skip
    chance, answer = valid[0].double().softmax(-1).max(-1)
    rows = answering(chance, answer == valid[1])
    found["answering"] = {"over": len(chance), "rows": [list(row) for row in rows], "test": []}
    for most in ERRORS:
        if row := kept(rows, most):
            given = 100 * sure >= row.sure
            wrong = (said != target)[given].double()
            found["answering"]["test"].append(
                {"most": most, "expected": row.answered, "answered": 100 * float(given.double().mean()),
                 "error": 100 * float(wrong.mean()) if len(wrong) else 0.0}
            )  # fmt: skip
    return found


def _members(system: System[Any, Any, Any, Any], model: Ensemble, source: Any, error: float) -> dict[str, Any]:
    """Each member's error on its own, and what is gained by asking all; in percent."""
    asked = [member for member, share in zip(model.members, model.shares.tolist(), strict=True) if share]
    each = []
    for member in asked:
        scores, target = outputs(system, member, source)
        each.append(100 * float((scores.argmax(-1) != target).double().mean()))
    mean = sum(each) / len(each)
    return {"count": len(model.members), "trained": len(asked), "errors": each, "mean_error": mean,
            "error": 100 * error, "temperature": float(model.temperature)}  # fmt: skip
