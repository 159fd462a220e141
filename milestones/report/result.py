"""What a run reached, in words and figures: the head of its page, its scores, how to cite it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .pictures import Html, grid, number, pairs, short, words
from .published import comparable

EARLY = {"minutes": "time budget spent", "interrupted": "interrupted", "stopped": "stopped"}
INITIALS = r"(?:\w\.[ -]?)+"
TITLE = r"([^\d,]+(?:, [a-z][^\d,]*)*)(?:, (?=[A-Z]|arXiv)|$)"  # up to what begins as a journal's name does
JOINS = {"&", "and", "et", "al.", "de", "den", "der", "van", "von"}  # words of small letters among names


def part(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A record in a record, {} where there is none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def early(knobs: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], step: int) -> str:
    """What early stopping did in a training of `step` updates, by its log; "" where a page has none, or it is off."""
    losses = [(line["valid_loss"], line["step"]) for line in lines if "valid_loss" in line]
    patience = knobs.get("patience")
    if not patience or not losses:
        return ""
    best, at = min(losses)
    end = f"ended at step {step:,} of {knobs['steps']:,}: no lower loss in {patience} evaluations"
    end = end if step < knobs["steps"] else "never ended it"
    return f"early stopping: {end}; the weights are those of the lowest validation loss, {best:.4g} near step {at:,}"


def head(name: str, run: Mapping[str, dict[str, Any]]) -> str:
    """Name, paper, the result in one sentence, and how the run went."""
    config, report, status = run["config"], run["report"], run["status"]
    about = part(config, "about")
    year = f" · {words(config['year'], 10)}" if config.get("year") else ""
    looks = {"title": "tagline", "paper": "paper"}
    lines = "".join(f'<p class="{looks[k]}">{words(about[k], 600)}</p>' for k in looks if about.get(k))
    scores = {k: v for k, v in part(report, "scores").items() if isinstance(v, dict)}
    first = next((name for name in ("error", "return") if name in scores), next(iter(scores), ""))
    result = sentence(first, scores[first]) if first else '<p class="result">Not scored yet.</p>'
    counts = [number(report.get("steps")), number(status.get("step"))]
    steps = next((count for count in counts if count >= 0), math.nan)
    total = number(report.get("total", status.get("total")))
    done = f"{steps:,.0f} of {total:,.0f}" if total > 0 and total != steps else f"{steps:,.0f}"
    ended = str(report.get("ended") or status.get("state") or "")
    if ended in EARLY:
        result += f'<p class="notice">Ended early ({EARLY[ended]}) at step {done if steps >= 0 else "unknown"}.</p>'
    result += f'<p class="notice">{words(report["early"], 300)}.</p>' if report.get("early") else ""
    world = part(report, "world")
    played = [f"{number(world.get(name)):,.0f} {name}" for name in ("steps", "frames") if number(world.get(name)) >= 0]
    played = played[: 1 + (world.get("frames") != world.get("steps"))]
    rate, share = number(report.get("rate")), number(report.get("peak_share"))
    facts = {
        "State": ended, "Steps": done if steps >= 0 else "",
        "Took": took(number(report.get("seconds", status.get("seconds")))), "Played": ", ".join(played),
        "Sticky actions": f"chance {number(world['sticky']):g}" if number(world.get("sticky")) >= 0 else "",
        "Speed": f"{short(rate)} examples/s" if rate > 0 else "",
        "Of this machine's peak": f"{share:.2g} %" if 0 < share <= 100 else "",
        "Preset": config.get("preset"), "Seed": config.get("seed"),
    }  # fmt: skip
    facts = {name: value for name, value in facts.items() if value not in ("", None)}
    return (f'<header><p class="eyebrow">milestones{year}</p><h1>{name}</h1>{lines}{result}'
            f"{pairs(facts) if facts else ''}</header>")  # fmt: skip


def took(seconds: float) -> str:
    """A duration in words; "" if it is no number."""
    if not seconds >= 0:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"{hours:,} h {minutes % 60} min" if hours else f"{minutes} min {seconds % 60:.0f} s"


def figures(score: Mapping[str, Any]) -> tuple[str, str, str]:
    """Value, low and high with two digits of half the interval; "" for low and high where there is none."""
    value, low, high = (number(score.get(key)) for key in ("value", "low", "high"))
    half = (high - low) / 2
    if not half > 0:
        return short(value), "", ""
    digits = min(6, max(0, 1 - math.floor(math.log10(half))))
    return f"{value:,.{digits}f}", f"{low:,.{digits}f}", f"{high:,.{digits}f}"


def sentence(name: str, score: Mapping[str, Any]) -> str:
    """A score, large and in one sentence: value, interval, on what."""
    value, low, high = figures(score)
    unit, split, over = (
        words(score.get("unit") or "", 20),
        words(score.get("split") or "", 40),
        number(score.get("over")),
    )
    count = f"{over:,.0f} " if over >= 0 else ""
    kind = split if split.endswith(("episodes", "games")) else f"{split} examples"
    where = f"{count}{kind} of {words(score.get('data') or 'unnamed data', 200)}"
    what = f"Wrong on <b>{value} %</b> of {where}"
    if name != "error" or unit != "%":
        what = f"{words(name, 60)} <b>{value} {unit}</b> over {where}"
    alike = over > 1 and number(score.get("low")) == number(score.get("high"))  # as when no episode falls short
    none = "no interval: all came out alike" if alike else "no interval: too few examples"
    interval = f"95 % interval {low} to {high} {unit}" if low else none
    return (f'<div class="hero"><p class="figure">{value}<span>{unit}</span></p>'
            f'<p class="result">{what} ({interval}).</p></div>')  # fmt: skip


def published(score: Mapping[str, Any]) -> str:
    """The published figure: as a comparison on the same data, said to be none on other data."""
    if score.get("paper") is None:
        return "–"
    where = "published"
    if not comparable(score):
        where = f"published on other data ({words(score.get('paper_data') or 'not named')}; not comparable)"
    return f"{where}: {short(number(score['paper']))} {words(score.get('unit') or '', 20)}"


def whisker(score: Mapping[str, Any]) -> str:
    """The interval as a bar from zero, with the value, and the published figure where it may be compared."""
    low, high, value, paper = (number(score.get(key)) for key in ("low", "high", "value", "paper"))
    same = comparable(score) and paper >= 0
    if not 0 <= low <= value <= high or not high > 0:
        return ""
    unit = 100 / (1.1 * max(high, paper if same else 0))
    mark = f'<i style="left:{paper * unit:.1f}%" title="published"></i>' if same else ""
    place = f"--l:{low * unit:.1f}%;--r:{100 - high * unit:.1f}%;--v:{value * unit:.1f}%"
    return f'<span class="span" aria-hidden="true" style="{place}">{mark}</span>'


def scores(report: Mapping[str, Any]) -> str:
    """Every score with its interval and data, then what several seeds gave."""
    rows, notes = [], ""
    for name, score in list(part(report, "scores").items())[:60]:
        if not isinstance(score, dict):
            continue
        (value, low, high), unit, over = (
            figures(score),
            words(score.get("unit") or "", 20),
            number(score.get("over")),
        )
        better = f"<small>{words(score['better'], 20)} is better</small>" if score.get("better") else ""
        where = ", ".join(words(score[key], 200) for key in ("data", "split") if score.get(key))
        title = words(name, 60).replace("_", "_<wbr>")  # a long name breaks between its words
        rows.append((Html(f"<b>{title}</b> {better}"), Html(f"<b>{value} {unit}</b>"),
                     Html(f"{low} to {high} {unit}{whisker(score)}" if low else "none"), Html(where),
                     f"{over:,.0f}" if over >= 0 else "", Html(published(score))))  # fmt: skip
        notes += f"<p>{words(name, 60)}: {words(score['note'], 1000)}</p>" if score.get("note") else ""
    if not rows:
        return ""
    notes += '<p class="quiet">The interval covers the chance in the test sample, not that of the seed.</p>'
    table = grid(["Score", "Value", "95 % interval", "Measured on", "Over", "Published"], rows)
    return table + notes + seeds(part(report, "group"))


def seeds(group: Mapping[str, Any]) -> str:
    """Mean, spread and interval over runs that differ in their seed alone."""
    rows = []
    for name, item in group.items():
        if isinstance(item, dict) and math.isfinite(number(item.get("mean"))):
            mean, sd, low, high = (number(item.get(key)) for key in ("mean", "sd", "low", "high"))
            interval = f"{short(low)} to {short(high)}" if low <= high else "–"
            rows.append((name, short(mean), short(sd) if sd >= 0 else "–", interval, item.get("n", "")))
    columns = ["Score", "Mean", "Standard deviation", "95 % interval", "Runs"]
    return f"<h3>Over several seeds</h3>{grid(columns, rows)}" if rows else ""


def cite(paper: object) -> str:
    """The paper's line and, where the line can be taken apart, its BibTeX."""
    if not isinstance(paper, str) or not paper.strip():
        return ""
    entry = bibtex(paper)
    return f"<p>{words(paper, 1000)}</p>" + (f'<pre class="copy">{words(entry, 2000)}</pre>' if entry else "")


def bibtex(paper: str) -> str:
    """BibTeX of each "Authors (year), Title, where it stood." of a line; "" where there is none."""
    line = " ".join(paper.split())[:2000]
    pieces = re.split(r"; (?!\()|(?<=\w\w|.\d)\. (?=[A-Z](?:al\.|[^.;])*\(\d{4}\))", line)
    return "\n\n".join(filter(None, map(_entry, pieces)))


def _entry(piece: str) -> str:
    parts = re.fullmatch(r"([^()]{2,300}?),? \((\d{4})\)[,.:]? (.{2,600}?)\.?", piece)
    if not parts:
        return ""
    words = parts[1].split()  # "the loss: Graves": the names are what comes last
    strange = [k for k, word in enumerate(words) if word[-1] == ":" or not (word[0].isupper() or word in JOINS)]
    first = strange[-1] + 1 if strange else 0
    given = " ".join(words[first:]), parts[2], parts[3]
    names, year, rest = (re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[{}\\~^]", "", text)) for text in given)
    authors: list[str] = []
    for name in re.split(r",| \\& | and ", names):
        if authors and re.fullmatch(INITIALS, name.strip()):
            authors[-1] += f", {name.strip()}"
        elif name.strip():
            authors.append(name.strip())
    if not authors:
        return ""
    title = re.search(r"[\"“](.+?),?[\"”],? ?", rest) or re.match(TITLE, rest)
    fields = {"author": " and ".join(authors).replace("et al.", "and others"), "year": year}
    if title:
        fields["title"] = f"{{{title[1]}}}"
    if where := rest.replace(title[0], "") if title else rest:
        fields["howpublished"] = where
    name = re.sub(r"\W", "", authors[0].replace(" et al.", "").split(",")[0].split()[-1]).lower()
    return f"@misc{{{name}{year},\n" + "".join(f"  {key} = {{{value}}},\n" for key, value in fields.items()) + "}"
