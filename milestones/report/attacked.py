"""The page of a study of attacks: the curve, what misled, the pictures, and whether the figures can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .page import whole
from .pictures import Html, Line, chart, figure, grid, number, picture, short, words
from .result import took

NAMES = {
    "fgsm": "FGSM", "pgd": "PGD", "deepfool": "DeepFool", "carlini": "Carlini-Wagner", "square": "Square",
    "autoattack": "AutoAttack", "universal": "universal", "patch": "patch",
}  # fmt: skip
ABOUT = {
    "FGSM": "one step along the gradient's sign (Goodfellow 2015)",
    "PGD": "forty steps from a random start (Madry 2018)",
    "DeepFool": "to the nearest linearised border (Moosavi-Dezfooli 2016)",
    "Carlini-Wagner": "smallest distance by Adam, its weight searched (Carlini & Wagner 2017)",
    "AutoAttack": "the four below, one after the other (Croce & Hein 2020)",
    "APGD-CE": "momentum, step chosen as it goes, on the cross-entropy",
    "APGD-T": "the same on the ratio of scores, to nine other classes",
    "FAB-T": "along the border, to nine other classes",
    "Square": "random squares: asks for scores alone, no gradient",
}
SIDE = 168  # pixels of a picture, about


def html_of(found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page as text, from what the study gives and its pictures by file name. The same study gives the same text."""
    name, norms = words(found["system"], 80), found["norms"]
    first = next(iter(norms.values()))
    hero = (f'<div class="hero"><p class="figure">{first["stands"]:.0f}<span>%</span></p>'
            f'<p class="result">{words(found["verdict"])} Measured on {found["examples"]:,} examples of '
            f"{words(found['data'])}; sizes {words(found['unit'])}; {took(found['seconds'])} here.</p></div>"
            )  # fmt: skip
    sections = {
        "Beware": listed(found["flags"]),
        "Accuracy": "".join(curve(norm, one, found["certified"]) for norm, one in norms.items()),
        "Before and after": rows(found, pictures),
        "What broke what": "".join(broken(norm, one) for norm, one in norms.items()),
        "For all at once": more(found, pictures),
        "Certified": listed(found["certified"].get("words", [])) + PROOF * bool(found["certified"]),
        "Each example": each(found),
        "How to read it": READ + listed(found["notes"]),
    }
    sections["Accuracy"] = f'<div class="plots">{sections["Accuracy"]}</div>'
    body = f'<header><p class="eyebrow">milestones · attack</p><h1>{name}</h1>{hero}</header>'
    for title, content in sections.items():
        body += f"<section><h2>{title}</h2><div>{content}</div></section>\n" if content else ""
    return whole(f"{name} · attack", body, "Written from attack.json beside it.")


PROOF = """<p class="quiet">A proof holds against every attack, also those that nobody has found yet, but for rounding
in the net's arithmetic. Intervals are loose for nets that were not trained with them: that nothing is proved does
not mean that anything is broken. Smoothing speaks of the net under noise, with a chance of 0.1 % of being wrong.</p>"""
READ = """<p class="quiet">The weaker of two figures is the truth: what one attack misleads is misled. FGSM alone proves
nothing, since a net can hide its gradients; so PGD and AutoAttack stand beside it. A norm says how a change is
measured: inf by its largest entry, 2 by its length. Nothing here is chosen to look good: the settings are the published
ones.</p>"""


def curve(norm: str, one: Mapping[str, Any], proved: Mapping[str, Any]) -> str:
    """What is still right, by the size of the change."""
    lines: dict[str, Line] = {}
    for name, values in one["accuracy"].items():
        y = [math.nan if value is None else number(value) for value in values]
        if sum(value == value for value in y) > 1:
            lines[NAMES[name]] = one["sizes"], y
    if norm in proved.get("intervals", {}):
        lines["proved by intervals"] = one["sizes"], proved["intervals"][norm]
    points = [(name, size, value) for name, values in one["accuracy"].items() if NAMES[name] not in lines
              for size, value in zip(one["sizes"], values, strict=True) if value is not None]  # fmt: skip
    single = [f"{NAMES[name]}: {short(value)} % still right at {short(size)}" for name, size, value in points]
    half = [
        f"{NAMES[name]}: half are misled at {short(value)}"
        for name, value in one["median"].items()
        if value is not None
    ]
    note = f'<p class="quiet">{words(". ".join([*single, *half]))}</p>' if single or half else ""
    drawn = (
        chart(f"Norm {norm}: % still right", lines, "size of the change", "% right", logy=False)
        if len(one["sizes"]) > 1
        else ""
    )
    return f"<div>{drawn}{note}</div>"


def rows(found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Each shown example: before, the difference made visible, after."""
    text = ""
    for one in found["shown"]:
        before, after = (f"{one[key]['label']}, {percent(one[key]['chance'])}" for key in ("before", "after"))
        what = f"{NAMES[one['method']]}, norm {one['norm']}, {short(one['distance'])}"
        if not one["files"]:
            table = grid(["Entry", "Before", "After"], [(n, f"{a:.5g}", f"{b:.5g}") for n, a, b in one["changes"]])
            text += figure(f"{one['name']}: {before} → {after}", table, words(what))
            continue
        kept = one["as_file"]["label"] == one["after"]["label"]
        lost = "" if kept else f"; saved with whole grey levels it is {one['as_file']['label']} again"
        captions = (before, f"difference × {one['magnified']:.0f}", after + lost)
        cells = "".join(
            f"<figure>{picture(pictures[file], caption, SIDE)}<figcaption>{words(caption, 120)}</figcaption></figure>"
            for file, caption in zip(one["files"], captions, strict=True)
        )
        title = f'<p><b>{words(one["name"], 80)}</b> <small class="quiet">{words(what)}</small></p>'
        text += f'<div class="triple">{title}<div class="mistakes" style="{TRIPLE}">{cells}</div></div>'
    return text


TRIPLE = "grid-template-columns:repeat(3,minmax(0,11rem));margin:.5rem 0 1.6rem"


def percent(chance: float) -> str:
    """A chance in percent; never a hundred that is none."""
    return "over 99.9 % sure" if 0.9995 <= chance < 1 else f"{100 * chance:.1f} % sure"


def broken(norm: str, one: Mapping[str, Any]) -> str:
    """How many each attack misled at one size."""
    body = [
        (NAMES.get(name, name), count, ABOUT.get(NAMES.get(name, name), "")) for name, count in one["broken"].items()
    ]
    return (f"<p>Norm {norm}, size {short(one['size'])}: of those that were right, so many are misled.</p>"
            + grid(["Attack", "Misled", "What it does"], body))  # fmt: skip


def more(found: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """One change for all examples, and the sticker."""
    cells = "".join(
        f"<figure>{picture(content, name, SIDE)}<figcaption>{words(name.removesuffix('.png'))}</figcaption></figure>"
        for name, content in pictures.items() if name.startswith(("universal", "patch"))
    )  # fmt: skip
    text = listed([one["words"] for one in found["more"]])
    return text + (f'<div class="mistakes">{cells}</div>' if cells else "")


def each(found: Mapping[str, Any]) -> str:
    """Every example: what it is, what misled it, how near it was. Folded."""
    body = []
    for row in found["rows"][:500]:
        by = "; ".join(
            f"{norm}: {', '.join(NAMES[m] for m in names)}" for norm, names in row["misled_by"].items() if names
        )
        near = "; ".join(f"{norm}: {min(values):.3g}" for norm, found_ in row["nearest"].items()
                         if (values := [v for v in found_.values() if v is not None]))  # fmt: skip
        right = "" if row["said"] == row["target"] else f" (is {row['target']})"
        body.append((row["name"], f"{row['said']}, {percent(row['chance'])}{right}", by or "–", near or "–"))
    table = grid(["Example", "Answer", "Misled by, at the size of the table above", "Nearest"], body)
    return f"<details><summary>{len(body):,} examples</summary>{Html(table)}</details>"


def listed(sentences: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{words(one, 400)}</li>' for one in sentences)}</ul>" if sentences else ""
