"""The page of a run: what it reached, how it got there, how to repeat it. It trusts nothing in the folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.folder import write_whole
from . import classes, files, health, result, trust
from .drawn import drawn
from .pictures import Html, confusion, curves, figure, grid, number, pairs, picture, words
from .result import part
from .style import STYLE

MOST_PICTURES = 60
FILES = ("config", "facts", "plan", "env", "status", "report")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
EQUAL = """The weights are equal bit by bit on the CPU under the same plan, number of threads and
version of PyTorch; elsewhere the figures agree within their spread."""
CUT = """This run ended before its last step, where the clock or a hand ended it; its command need not end at the same
step, so its weights and figures may differ."""


def write(folder: Path) -> Path:
    """The path of `report.html`, written whole from the run folder's files; what is damaged is named in it.

    UserError: no run folder, or it cannot be written to.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("a run folder", f"{folder}, which is none", "'milestones runs' lists them")
    if not any((folder / name).exists() for name in ("config.json", "log.jsonl", "report.json", "status.json")):
        raise UserError("a run folder", f"{folder} without config.json", "'milestones runs' lists them")
    write_whole(folder / "report.html", html_of(folder).encode())
    return folder / "report.html"


def html_of(folder: Path) -> str:
    """The page as text. The same files give the same text."""
    run, notices = {}, []
    for name in FILES:
        run[name], problem = files.record(folder, f"{name}.json")
        notices.append(problem)
    lines, problem = files.log(folder)
    notices.append(problem)
    config, report, env = run["config"], run["report"], run["env"]
    about, matrix = part(config, "about"), part(report, "confusion")
    ideas = {key.capitalize(): Html(words(about[key], 4_000)) for key in ("idea", "deviations") if about.get(key)}
    each = classes.classes(matrix, run["facts"])
    own, name = (
        folder.resolve().name,
        words(config.get("system") or report.get("system") or folder.resolve().name, 80),
    )
    sections = {
        "Scores": result.scores(report),
        "Members": trust.members(report),
        "Data": _data(run["facts"], report),
        "Idea": pairs(ideas) if ideas else "",
        "Curves": _wrap("plots", curves(lines)),
        "Doctor": health.section(health.diagnosis(folder), lines),
        "Confusion": confusion(matrix.get("labels"), matrix.get("counts")),
        "Each class": classes.table(each),
        "Calibration": trust.calibration(report),
        "Worst mistakes": _wrap("mistakes", _mistakes(folder, report.get("mistakes"))),
        "Suspicious labels": _suspects(folder, report.get("suspects")),
        "What to collect next": _list(classes.advice(each)) if run["facts"].get("kind") == "pictures" else "",
        "Inside": _wrap("plots", _shows(folder)),
        "Settings": _settings(config, report),
        "Plan": _plan(run["plan"]),
        "Environment": pairs({key: env[key] for key in env if key != "format"}) if env else "",
        "Repeat it": _repeat(config.get("command") or report.get("command"), str(report.get("ended")) in result.EARLY),
        "Cite": result.cite(about.get("paper")),
        "Files": f"<p><code>{words(own, 200)}/</code></p>" + pairs(files.listing(folder)),
    }
    body = result.head(name, run) + "".join(f'<p class="notice">{words(notice)}</p>' for notice in notices if notice)
    for title, content in sections.items():
        body += f"<section><h2>{title}</h2><div>{content}</div></section>\n" if content else ""
    made = words(config.get("milestones") or env.get("milestones") or "", 40)
    return whole(f"{name} · {words(own, 80)}", body, f"Written from the files of this run by milestones {made}.")


def whole(title: str, body: str, made: str) -> str:
    """A page that loads nothing from elsewhere and runs no script. `title`, `body` and `made` are HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{body}<footer>{made} This page loads nothing from elsewhere.</footer></main></body></html>\n"
    )


def _wrap(kind: str, content: str) -> str:
    return f'<div class="{kind}">{content}</div>' if content else ""


def _data(facts: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """What this is measured on: its note first, then counts and the hash."""
    data, labels = part(facts, "data") or part(report, "data"), facts.get("labels")
    rows: dict[str, object] = {}
    for name, value in data.items():
        if name in ("train", "valid", "test") and number(value) >= 0:
            rows[name] = f"{number(value):,.0f} examples"
        elif name == "sha256":
            sums = [f"{key}: {value[key]}" for key in list(value)[:20]] if isinstance(value, dict) else [value]
            rows[name] = Html("<br>".join(f"<code>{words(one, 200)}</code>" for one in sums))
        elif name not in ("note", "format", "closed", "shifted", "hard"):
            rows[name] = value
    if isinstance(labels, list) and labels:
        first = ", ".join(str(label)[:24] for label in labels[:20])
        rows["labels"] = f"{len(labels):,}: {first}{' …' if len(labels) > 20 else ''}"
    note = words(data.get("note") or "", 2000)
    note = f'<p class="note"><b>What this is measured on.</b> {note}</p>' if note else ""
    return note + (pairs(rows) if rows else "")


def _mistakes(folder: Path, mistakes: object) -> str:
    """The mistakes that the model was surest of, with what it saw."""
    figures = ""
    for item in mistakes[:MOST_PICTURES] if isinstance(mistakes, list) else []:
        if not isinstance(item, dict):
            continue
        chance, sure = number(item.get("chance")), ""
        if 0 <= chance <= 1:
            sure = ", over 99 % sure" if 0.995 <= chance < 1 else f", {100 * chance:.0f} % sure"
        text = f"is {str(item.get('true'))[:40]}, read as {str(item.get('said'))[:40]}{sure}"
        name = str(item.get("picture"))
        content = files.show(folder, name[6:]) if re.fullmatch(r"shows/[^/\\\0]+\.png", name) else b""
        image = picture(content, text) or '<div class="lost">no picture</div>'
        caption = words(text, 120).replace(" %", "\N{NO-BREAK SPACE}%")
        figures += f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    return figures


def _suspects(folder: Path, suspects: object) -> str:
    """Training pictures whose label the trained model contradicts."""
    found = _mistakes(folder, suspects)
    note = "Training pictures of whose label the trained model is sure that it is wrong. Look at these first."
    return f'<p class="quiet">{note}</p>{_wrap("mistakes", found)}' if found else ""


def _list(sentences: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{words(one, 400)}</li>' for one in sentences)}</ul>" if sentences else ""


def _shows(folder: Path) -> str:
    """Filters, samples and curves that the run kept: the latest of each."""
    figures: list[str] = []
    for title, name in files.latest(folder):
        content = files.show(folder, name)
        if name.endswith(".png"):
            image = picture(content, title, 288)
            one = figure(title, image) if image else ""
        else:
            one = drawn(title, files.media(content, name))
        figures += [one] if one else []
        if len(figures) == MOST_PICTURES:
            break
    return "".join(figures)


def _settings(config: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Every knob, what it learned from, and which run it started from."""
    knobs, start = part(config, "config") or part(report, "config"), part(config, "from")
    choice = {f"--{key}": value for key, value in part(config, "choice").items() if value}
    body = pairs({**knobs, **choice}) if knobs or choice else ""
    if start:
        taken, left = (start[key] if isinstance(start.get(key), list) else [] for key in ("taken", "left"))
        frozen = ", and frozen" if start.get("frozen") is True else ""
        new = f"; new here: {words(', '.join(map(str, left)), 1000)}" if left else ""
        run = words(start.get("run") or "another run", 120)
        body += f"<p>Started from <b>{run}</b>: {len(taken)} tensors taken{frozen}{new}.</p>"
    return body


def _plan(plan: Mapping[str, Any]) -> str:
    """The way of running that was chosen, and those it was chosen from."""
    tried, same = plan.get("tried"), ("layout", "precision", "threads")
    ways = [way for way in tried[:40] if isinstance(way, dict)] if isinstance(tried, list) else []
    most = max((rate for way in ways if (rate := number(way.get("rate"))) > 0), default=1.0)
    rows = []
    for way in ways:
        rate, within = number(way.get("rate")), way.get("within")
        bar = f'<span class="rate" style="--w:{100 * rate / most:.0f}%">{rate:,.0f}</span>' if rate >= 0 else "–"
        layout = words(way.get("layout", ""))
        layout = f"<b>{layout} ✓</b>" if all(way.get(key) == plan.get(key) for key in same) else layout
        rest = (way.get(key, "") for key in same[1:])
        rows.append((Html(layout), *rest, Html(bar), within if within is not None else ""))
    text = f"<p>{words(plan['words'])}.</p>" if plan.get("words") else ""
    text += grid(["Layout", "Precision", "Threads", "Examples/s", "Within tolerance"], rows) if rows else ""
    peak = number(plan.get("peak_gflops"))
    note = "Tolerance: loss and gradient against float32. " * bool(rows)
    note += f"Measured peak of this machine: {peak:,.0f} GFLOP/s." if peak > 0 else ""
    return text + (f'<p class="quiet">{note}</p>' if note else "")


def _repeat(command: object, cut: bool) -> str:
    """The command, to be copied with one click, and what it repeats."""
    pre = f'<pre class="copy">{words(command, 2000)}</pre>'
    return f'{pre}<p class="quiet">{CUT if cut else EQUAL}</p>' if command else ""
