"""The page of a run: what it reached, how it got there, and how to repeat it. Reads the run folder, trusts none of it."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.folder import inside, read_json, write_whole
from .pictures import Html, confusion, curves, drawn, grid, number, pairs, picture, short, words
from .style import STYLE

LARGEST_SHOW = 5 << 20  # bytes
LARGEST_LOG = 32 << 20
MOST_PICTURES = 60
SHOW = re.compile(r"([a-z][a-z0-9_]*)-(\d{1,18})-(.+)")
FILES = ("config", "facts", "plan", "env", "status", "report")


def write(folder: Path) -> Path:
    """The path of `report.html`, written whole from the run folder's files; what is missing or damaged is named there.
    UserError: no folder, or it cannot be written to."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("a run folder", f"{folder}, which is none", "'milestones runs' lists them")
    if not any((folder / name).exists() for name in ("config.json", "log.jsonl", "report.json", "status.json")):
        raise UserError("a run folder", f"{folder} without config.json", "'milestones runs' lists them")
    write_whole(folder / "report.html", html_of(folder).encode())
    return folder / "report.html"


def html_of(folder: Path) -> str:
    """The page as text. The same folder gives the same text."""
    run, notices = {}, []
    for name in FILES:
        run[name], problem = _record(folder, f"{name}.json")
        notices += [problem] if problem else []
    lines, problem = _log(folder)
    notices += [problem] if problem else []
    name = words(run["config"].get("system") or run["report"].get("system") or folder.resolve().name, 80)
    body = _header(name, run) + "".join(f'<p class="notice">{words(notice)}</p>' for notice in notices)
    for title, content in (
        ("Scores", _scores(run)),
        ("Data", _data(run["facts"], run["report"])),
        ("Curves", _wrap("plots", curves(lines))),
        ("Confusion", confusion(_get(run["report"], "confusion").get("labels"), _get(run["report"], "confusion").get("counts"))),
        ("Worst mistakes", _mistakes(folder, run["report"])),
        ("Inside", _wrap("plots", _shows(folder))),
        ("Settings", _settings(run["config"], run["report"])),
        ("Plan", _plan(run["plan"])),
        ("Environment", pairs({k: v for k, v in run["env"].items() if k != "format"}) if len(run["env"]) > 1 else ""),
        ("Repeat it", _repeat(run)),
        ("Cite", _cite(_get(run["config"], "about"), run["config"].get("year"))),
        ("Files", _files(folder)),
    ):  # fmt: skip
        body += f"<section><h2>{title}</h2><div>{content}</div></section>" if content else ""
    made = words(run["config"].get("milestones") or _get(run["env"], "").get("milestones") or "", 40)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; style-src \'unsafe-inline\'">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{name} · {words(folder.resolve().name, 80)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{body}<footer>Written from the files of this run by milestones {made}. "
        "This page loads nothing from elsewhere.</footer></main></body></html>\n"
    )


# Reading, with suspicion


def _content(folder: Path, name: str, most: int) -> bytes | None:
    """The bytes of a regular file inside the folder, at most `most`; None for links, pipes and all else."""
    try:
        path = inside(folder, name)
        if (folder / name).parent.is_symlink() or not stat.S_ISREG(path.lstat().st_mode):
            return None
        with open(path, "rb") as file:
            return file.read(most)
    except (OSError, UserError, ValueError):
        return None


def _record(folder: Path, name: str) -> tuple[dict[str, Any], str]:
    """One JSON object, or {} and what is wrong with it. A missing file is wrong only where it means something."""
    path = folder / name
    if not os.path.lexists(path):
        return {}, "This run has no report.json: it is not finished, or was not scored." if name == "report.json" else ""
    if not path.is_symlink() and not path.is_file():
        return {}, f"{name} is not a regular file and was not read."
    try:
        return read_json(folder, name), ""
    except (UserError, OSError) as problem:
        return {}, f"{name} was not read: {getattr(problem, 'got', problem)}."


def _log(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The lines of log.jsonl that are whole, and what is wrong with the rest."""
    content = _content(folder, "log.jsonl", LARGEST_LOG + 1) or b""
    lines, broken = [], 0
    for line in content[:LARGEST_LOG].splitlines():
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            value, broken = None, broken + 1
        if isinstance(value, dict):
            lines.append(value)
    if len(content) > LARGEST_LOG:
        return lines, f"log.jsonl is larger than {LARGEST_LOG >> 20} MiB; the curves show its beginning."
    lost = next((x for x in lines if isinstance(x.get("loss"), float) and not math.isfinite(x["loss"])), None)
    if lost:
        return lines, f"The loss was not a finite number at step {lost.get('step')}."
    return lines, f"log.jsonl: {broken} unreadable line{'s' * (broken > 1)} left out." if broken else ""


def _get(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A record in a record, {} where there is none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _wrap(kind: str, content: str) -> str:
    return f'<div class="{kind}">{content}</div>' if content else ""


# Sections


def _header(name: str, run: dict[str, dict[str, Any]]) -> str:
    """Name, paper, the result in one sentence, and how the run went."""
    config, report, status = run["config"], run["report"], run["status"]
    about, year = _get(config, "about"), config.get("year")
    from_year = f" · {words(year, 10)}" if year else ""
    title = f'<p class="tagline">{words(about["title"])}</p>' if about.get("title") else ""
    paper = f'<p class="paper">{words(about["paper"])}</p>' if about.get("paper") else ""
    scores = {k: v for k, v in _get(report, "scores").items() if isinstance(v, dict)}
    first = "error" if "error" in scores else next(iter(scores), "")
    result = _result(first, scores[first]) if first else '<p class="result">Not scored yet.</p>'
    step, total = (next((r[k] for r in (report, status) if k in r), None) for k in ("step", "total"))
    steps = next((number(x) for x in (report.get("steps"), step) if math.isfinite(number(x))), math.nan)
    ended = str(report.get("ended") or status.get("state") or "")
    if ended in ("minutes", "interrupted", "stopped"):
        result += f'<p class="notice">Ended early ({words({"minutes": "time budget spent"}.get(ended, ended))}) at step {_of(steps, total)}.</p>'
    facts = {"State": ended, "Steps": _of(steps, total) if steps >= 0 else "", "Took": _took(number(report.get("seconds", status.get("seconds")))),
             "Speed": f"{short(number(report.get('rate')))} examples/s" if number(report.get("rate")) > 0 else "",
             "Of this machine's peak": f"{number(report.get('peak_share')):.0f} %" if number(report.get("peak_share")) >= 0.5 else "",
             "Preset": config.get("preset"), "Seed": config.get("seed")}  # fmt: skip
    facts = {k: v for k, v in facts.items() if v not in ("", None)}
    return f'<header><p class="eyebrow">milestones{from_year}</p><h1>{name}</h1>{title}{paper}{result}{pairs(facts) if facts else ""}</header>'


def _of(steps: float, total: object) -> str:
    return f"{steps:,.0f} of {number(total):,.0f}" if number(total) > 0 and number(total) != steps else f"{steps:,.0f}"


def _took(seconds: float) -> str:
    if not seconds >= 0:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {seconds % 60:.0f} s"


def _figures(score: Mapping[str, Any]) -> tuple[str, str, str]:
    """Value, low and high with two digits of half the interval; "" for low and high where there is none."""
    value, low, high = (number(score.get(k)) for k in ("value", "low", "high"))
    half = (high - low) / 2
    if not half > 0:
        return short(value), "", ""
    digits = min(6, max(0, 1 - math.floor(math.log10(half))))
    return f"{value:,.{digits}f}", f"{low:,.{digits}f}", f"{high:,.{digits}f}"


def _result(name: str, score: Mapping[str, Any]) -> str:
    """The first score, large and in one sentence."""
    value, low, high = _figures(score)
    unit, over, split = words(score.get("unit") or "", 20), number(score.get("over")), words(score.get("split") or "", 40)
    many = f"{over:,.0f} " if over >= 0 else ""
    where = f"{many}{split} examples of {words(score.get('data') or 'unnamed data', 200)}"
    interval = f"95 % interval {low} to {high} {unit}" if low else "no interval: too few examples"
    what = f"Wrong on <b>{value} %</b> of {where}" if name == "error" and unit == "%" else f"{words(name, 60)} <b>{value} {unit}</b> over {where}"
    return f'<div class="hero"><p class="figure">{value}<span>{unit}</span></p><p class="result">{what} ({interval}).</p></div>'


def _scores(run: dict[str, dict[str, Any]]) -> str:
    """Every score with its interval; the published figure as a comparison only on the same data."""
    rows, notes = [], []
    for name, score in list(_get(run["report"], "scores").items())[:60]:
        if not isinstance(score, dict):
            continue
        value, low, high = _figures(score)
        unit, published, same = words(score.get("unit") or "", 20), "", score.get("paper_data") == score.get("data")
        if score.get("paper") is not None:
            other = f"published on other data ({words(score.get('paper_data') or 'not named')}; not comparable)"
            published = f"{'published' if same else other}: {short(number(score['paper']))} {unit}"
        ends = [number(score.get(k)) for k in ("low", "high", "value")] + [number(score.get("paper"))] * same
        most = max((end for end in ends if math.isfinite(end)), default=0) * 1.1
        bar = ""
        if low and most > 0 and ends[0] >= 0:
            mark = f'<i style="left:{100 * ends[3] / most:.1f}%" title="published"></i>' if same and ends[3] >= 0 else ""
            bar = f'<span class="span" aria-hidden="true" style="--l:{100 * ends[0] / most:.1f}%;--r:{100 - 100 * ends[1] / most:.1f}%;--v:{100 * ends[2] / most:.1f}%">{mark}</span>'
        better = f'<small>{words(score["better"], 20)} is better</small>' if score.get("better") else ""
        over = number(score.get("over"))
        where = f"{words(score.get('data') or '')}{', ' + words(score['split'], 40) if score.get('split') else ''}"
        rows.append((Html(f"<b>{words(name, 60)}</b> {better}"), Html(f"<b>{value} {unit}</b>"),
                     Html(f"{low} to {high} {unit}{bar}" if low else "none"), Html(where),
                     f"{over:,.0f}" if over >= 0 else "", Html(published or "–")))  # fmt: skip
        notes += [f"<p>{words(name, 60)}: {words(score['note'], 1000)}</p>"] if score.get("note") else []
    if not rows:
        return ""
    table = grid(["Score", "Value", "95 % interval", "Measured on", "Over", "Published"], rows)
    group = {k: v for k, v in _get(run["report"], "group").items() if isinstance(v, dict) and math.isfinite(number(v.get("mean")))}
    seeds = [(k, *(short(number(v.get(x))) if x in v else "–" for x in ("mean", "sd")),
              f"{short(number(v['low']))} to {short(number(v['high']))}" if {"low", "high"} <= v.keys() else "–", v.get("n", "")) for k, v in group.items()]  # fmt: skip
    many = "<h3>Over several seeds</h3>" + grid(["Score", "Mean", "Standard deviation", "95 % interval", "Runs"], seeds) if seeds else ""
    return table + "".join(notes) + '<p class="quiet">The interval covers the chance in the test sample, not that of the seed.</p>' + many


def _data(facts: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """What this is measured on: its note first, then counts and the hash."""
    data = _get(facts, "data") or _get(report, "data")
    if not data and not facts.get("labels"):
        return ""
    note = f'<p class="note"><b>What this is measured on.</b> {words(data["note"], 2000)}</p>' if data.get("note") else ""
    rows: dict[str, object] = {}
    for name, value in data.items():
        if name in ("train", "valid", "test") and number(value) >= 0:
            rows[name] = f"{number(value):,.0f} examples"
        elif name == "sha256":
            rows[name] = Html("<br>".join(f"<code>{words(x, 200)}</code>" for x in (
                [f"{k}: {v}" for k, v in list(value.items())[:20]] if isinstance(value, dict) else [value])))  # fmt: skip
        elif name not in ("note", "format"):
            rows[name] = value
    labels = facts.get("labels")
    if isinstance(labels, list):
        rows["labels"] = f"{len(labels):,}: " + ", ".join(str(x)[:24] for x in labels[:20]) + (" …" if len(labels) > 20 else "")
    return note + pairs(rows)


def _mistakes(folder: Path, report: Mapping[str, Any]) -> str:
    """The mistakes that the model was surest of, with what it saw."""
    figures, mistakes = [], report.get("mistakes")
    for item in mistakes[:MOST_PICTURES] if isinstance(mistakes, list) else []:
        if not isinstance(item, dict):
            continue
        chance = number(item.get("chance"))
        sure = "" if not 0 <= chance <= 1 else ", over 99 % sure" if 0.995 < chance < 1 else f", {100 * chance:.0f} % sure"
        text = f"is {_label(item.get('true'))}, read as {_label(item.get('said'))}{sure}"
        name = str(item.get("picture"))
        content = _content(folder, name, LARGEST_SHOW + 1) if re.fullmatch(r"shows/[^/\\\0]+\.png", name) else None
        image = picture(content, text) if content and len(content) <= LARGEST_SHOW else ""
        figures.append(f"<figure>{image or '<div class=lost>no picture</div>'}<figcaption>{words(text, 120)}</figcaption></figure>")
    return _wrap("mistakes", "".join(figures))


def _label(value: object) -> str:
    return str(value)[:40]


def _latest(folder: Path) -> Iterator[tuple[str, str]]:
    """(title, file name) of the latest show of each stage and name, in the order of names."""
    shows = folder / "shows"
    if shows.is_symlink() or not shows.is_dir():
        return
    best: dict[tuple[str, str], tuple[int, str]] = {}
    for name in sorted(os.listdir(shows)):
        stem, suffix = os.path.splitext(name)
        if suffix not in (".png", ".json", ".txt") or stem.startswith("mistake-"):
            continue
        parts = SHOW.fullmatch(stem)
        stage, step, item = (parts[1], int(parts[2]), parts[3]) if parts else ("", 0, stem)
        if (stage, item) not in best or best[stage, item][0] <= step:
            best[stage, item] = step, name
    for (stage, item), (step, name) in sorted(best.items()):
        yield f"{item} · {stage}, step {step:,}" if stage else item, name


def _shows(folder: Path) -> str:
    """Filters, samples and curves that the run kept: the latest of each."""
    figures: list[str] = []
    for title, name in _latest(folder):
        content = _content(folder, f"shows/{name}", LARGEST_SHOW + 1)
        if not content or len(content) > LARGEST_SHOW:
            continue
        if name.endswith(".png"):
            image = picture(content, title)
            figures += [f'<figure class="plot"><figcaption><b>{words(title, 80)}</b></figcaption>{image}</figure>'] if image else []
        else:
            figures.append(drawn(title, _media(content, name)))
        if len(figures) >= MOST_PICTURES:
            break
    return "".join(figures)


def _media(content: bytes, name: str) -> object:
    """What a show file holds; None where it is damaged."""
    text = content.decode(errors="replace")
    if name.endswith(".txt"):
        return text
    try:
        media = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return media["value"] if isinstance(media, dict) and media.keys() <= {"format", "value"} and "value" in media else media


def _settings(config: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Every knob, and where the run started from."""
    knobs = _get(config, "config") or _get(report, "config")
    start, body = _get(config, "from"), pairs(knobs) if knobs else ""
    if start:
        taken, left = (start[k] if isinstance(start.get(k), list) else [] for k in ("taken", "left"))
        kept = f"; new here: {words(', '.join(map(str, left)), 1000)}" if left else ""
        body += (f"<p>Started from <b>{words(start.get('run') or 'another run', 120)}</b>: {len(taken)} tensors taken"
                 f"{', and frozen' if start.get('frozen') is True else ''}{kept}.</p>")  # fmt: skip
    return body


def _plan(plan: Mapping[str, Any]) -> str:
    """The way of running that was chosen, and those it was chosen from."""
    tried = plan.get("tried")
    ways = [way for way in tried[:40] if isinstance(way, dict)] if isinstance(tried, list) else []
    most, same = max((number(way.get("rate")) for way in ways), default=0), ("layout", "precision", "threads")
    rows = []
    for way in ways:
        mine = all(way.get(k) == plan.get(k) for k in same)
        rate, within = number(way.get("rate")), way.get("within")
        bar = Html(f'<span class="rate" style="--w:{100 * rate / most:.0f}%">{rate:,.0f}</span>' if rate >= 0 and most > 0 else "–")
        rows.append((Html(f"<b>{words(way.get('layout', ''))} ✓</b>") if mine else way.get("layout", ""),
                     *(way.get(k, "") for k in same[1:]), bar, within if within is not None else ""))  # fmt: skip
    lead = f"<p>{words(plan['words'])}.</p>" if plan.get("words") else ""
    table = grid(["Layout", "Precision", "Threads", "Examples/s", "Within tolerance of float32"], rows) if rows else ""
    peak = number(plan.get("peak_gflops"))
    return lead + table + (f'<p class="quiet">Measured peak of this machine: {peak:,.0f} GFLOP/s.</p>' if peak > 0 else "")


def _repeat(run: dict[str, dict[str, Any]]) -> str:
    """The command, to be copied."""
    command = run["config"].get("command") or run["report"].get("command")
    if not command:
        return ""
    return (f"<pre class=copy>{words(command, 2000)}</pre><p class=quiet>The weights are equal bit by bit on the CPU under the same plan, "
            "number of threads and version of PyTorch; elsewhere the figures agree within their spread.</p>")  # fmt: skip


def _cite(about: Mapping[str, Any], year: object) -> str:
    """The paper's line and, where the line can be taken apart, its BibTeX."""
    paper = about.get("paper")
    if not isinstance(paper, str) or not paper.strip():
        return ""
    body = f"<p>{words(paper, 1000)}</p>"
    entry = bibtex(paper)
    body += f"<pre class=copy>{words(entry, 2000)}</pre>" if entry else ""
    ideas = {k.capitalize(): about[k] for k in ("idea", "deviations") if about.get(k)}
    return body + (pairs(ideas) if ideas else "")


def bibtex(paper: str) -> str:
    """BibTeX of a line "Authors (year), the rest."; a title only where the line quotes one. "" if it is no such line."""
    parts = re.fullmatch(r"([^()]{2,300}?),? \((\d{4})\)[,.:]? (.{2,600}?)\.?", " ".join(paper.split())[:1000])
    if not parts:
        return ""
    safe = [re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[{}\\~^]", "", part)) for part in parts.groups()]
    authors = [name.strip() for name in re.split(r",| \\& | and ", safe[0]) if name.strip()]
    authors = [f"{authors[i]}, {authors[i + 1]}" if i + 1 < len(authors) and re.fullmatch(r"(\w\.[ -]?)+", authors[i + 1]) else name
               for i, name in enumerate(authors) if not re.fullmatch(r"(\w\.[ -]?)+", name)]  # fmt: skip
    title = re.search(r"[\"“](.+?),?[\"”],? ?", safe[2])
    rest = safe[2].replace(title[0], "") if title else safe[2]
    key = re.sub(r"\W", "", authors[0].split(",")[0].split()[-1]).lower() if authors else "paper"
    fields = {"author": " and ".join(authors).replace("et al.", "others"), "year": safe[1], "howpublished": rest}
    fields |= {"title": f"{{{title[1]}}}"} if title else {}
    return f"@misc{{{key}{safe[1]},\n" + "".join(f"  {k} = {{{v}}},\n" for k, v in sorted(fields.items())) + "}"


def _files(folder: Path) -> str:
    """The folder's name and what lies in it, links named and not followed."""
    rows = []
    for name in sorted(os.listdir(folder)):
        if name in ("report.html", "lock") or name.startswith("."):
            continue
        mode = (folder / name).lstat()
        if stat.S_ISREG(mode.st_mode):
            size = _bytes(mode.st_size)
        elif stat.S_ISDIR(mode.st_mode):
            inner = [entry.stat(follow_symlinks=False) for entry in os.scandir(folder / name) if entry.is_file(follow_symlinks=False)]
            size = f"{len(inner):,} file{'s' * (len(inner) != 1)}, {_bytes(sum(x.st_size for x in inner))}"
        else:
            size = "not a regular file; not followed"
        rows.append((name + "/" * stat.S_ISDIR(mode.st_mode), size))
    more = f"<p class=quiet>and {len(rows) - 60:,} more</p>" if len(rows) > 60 else ""
    return f"<p><code>{words(folder.resolve().name, 200)}/</code></p>" + pairs({name: size for name, size in rows[:60]}) + more


def _bytes(size: int) -> str:
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB" if size < 10_000_000 else f"{size / 1e6:,.1f} MB"
