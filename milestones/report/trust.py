"""What the page of a run says of its chances: are they true, when had it better not answer, what its members gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .pictures import grid, number, reliability, short, words
from .result import part, took

LEAST = 30  # answers in a bin, below which a sentence about it says little


def calibration(report: Mapping[str, Any]) -> str:
    """How far the stated chances can be trusted, in a sentence, a picture and a table; "" where there is none."""
    found = part(report, "calibration")
    bins = [one for one in found["bins"] if isinstance(one, dict)] if isinstance(found.get("bins"), list) else []
    bins = [{key: number(one.get(key)) for key in ("low", "high", "count", "sure", "right")} for one in bins[:100]]
    bins = [one for one in bins if one["count"] > 0 and 0 <= one["sure"] <= 100 and 0 <= one["right"] <= 100]
    if not bins:
        return ""
    error, loss, heat = number(found.get("error")), number(found.get("log_loss")), part(found, "temperature")
    told = [one for one in bins if one["count"] >= LEAST]
    said = ""
    if told:
        at = min(told, key=lambda one: abs(one["sure"] - 90))
        said = f"When it says {at['sure']:.0f} %, it is right in {at['right']:.0f} % of the cases. "
    said += f"Over all {number(found.get('over')):,.0f} answers on {words(found.get('data') or 'test data', 200)} "
    said += f"chance and truth are {error:.2g} points apart (expected calibration error); "
    said += f"the log loss is {loss:.3f} nats."
    if (value := number(heat.get("value"))) > 0 and abs(value - 1) > 0.02:
        way = "too sure" if value > 1 else "not sure enough"
        said += f" It is {way}: with its scores divided by {value:.2f}, a temperature chosen on validation examples, "
        said += f"they would be {number(heat.get('error')):.2g} points apart."
    return f'<p>{said}</p><div class="plots">{reliability(bins)}</div>' + _answering(part(found, "answering"))


def _answering(found: Mapping[str, Any]) -> str:
    """How much is answered at some errors: what validation examples promise, what test examples gave."""
    rows = []
    for row in found["test"][:20] if isinstance(found.get("test"), list) else []:
        if isinstance(row, dict):
            most, *rest = (number(row.get(key)) for key in ("most", "expected", "answered", "error"))
            rows.append((f"at most {short(most)} %", f"{rest[0]:.1f} %", f"{rest[1]:.1f} %", f"{rest[2]:.2f} %"))
    if not rows:
        return ""
    note = "It may say that it does not know: milestones use RUN FILES --at-error 1. Chosen on validation examples."
    columns = ["Errors among the answers", "Answers, validation", "Answers, test", "Errors among them, test"]
    return grid(columns, rows) + f'<p class="quiet">{note}</p>'


def members(report: Mapping[str, Any]) -> str:
    """What an ensemble gains and costs."""
    found = part(report, "members")
    count, trained, one, both = (number(found.get(key)) for key in ("count", "trained", "mean_error", "error"))
    seconds = [number(each) for each in found["seconds"]] if isinstance(found.get("seconds"), list) else []
    if not count > 0:
        return ""
    text = f"{count:,.0f} nets answer as one, by the mean of their chances. "
    if 0 <= trained < count:
        text = f"{trained:,.0f} of {count:,.0f} nets were trained before the end; they answer as one. "
    if both >= 0 and one >= 0:
        errors = found["errors"][:100] if isinstance(found.get("errors"), list) else []
        each = ", ".join(f"{number(error):.2f}" for error in errors)
        text += f"One alone makes {one:.2f} % errors in the mean ({each}), all together {both:.2f} %. "
    if seconds and all(value > 0 for value in seconds):
        cost = number(found.get("cost"))
        way = f" as one batched net, about {cost:.1f} times as long as one" if cost > 0 else ""
        text += f"Training took {took(sum(seconds))}{way or ', one after the other'}. "
    text += f"An answer takes {trained if trained > 0 else count:,.0f} times as long as that of one."
    return f"<p>{text}</p>"
