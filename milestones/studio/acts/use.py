"""use: what a run says of an input; form: what it takes, so that its controls can be drawn."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from ...core.errors import UserError
from ...media import Text
from ...verbs.use import cautious, chosen, threshold
from ..carry import carried, options, received
from ..desk import Answer, Desk


def act(desk: Desk, ask: Mapping[str, Any], payload: bytes) -> Answer:
    """The answers of the run "run" to the input that the question brings; "ms" is what the net took."""
    trained = desk.trained(ask.get("run"))
    if ask.get("do") == "form":
        return form(trained)
    item = received(ask, payload, trained.system.takes, trained.entry.name)
    began = time.perf_counter()
    found = trained.use([item], told(trained, ask))[0]
    for one in found.values():
        if isinstance(one, Text):
            one.encode()  # one that flows is made now, within the time that is told
    return answered(trained, found, ask, ms=round(1000 * (time.perf_counter() - began), 1))


def told(trained: Any, ask: Mapping[str, Any]) -> dict[str, Any]:
    """What the question's "options" say to the page's `use`. UserError: none of its options, or of another kind."""
    said, schema = ask.get("options", {}), options(trained.system.use)
    if not isinstance(said, dict) or not said.keys() <= schema.keys():
        want = f"options among {', '.join(schema)}" if schema else "no options"
        raise UserError(want, repr(said)[:60], "Reload the page", trained.entry.name)
    return chosen(schema, said, trained.entry.name)


def answered(trained: Any, found: Mapping[str, Any], ask: Mapping[str, Any], **content: Any) -> Answer:
    """An answer, which with "at_error" says that it does not know where the chance is below what that takes."""
    most = ask.get("at_error")
    if most is None:
        return carried(found, **content)
    if type(most) not in (int, float):
        raise UserError("a percentage of errors", repr(most)[:40], "For example 1", trained.entry.name)
    needed, share = threshold(trained.folder, float(most), trained.entry.name)
    return carried(cautious(dict(found), needed), needed=needed, share=share, **content)


def form(trained: Any) -> Answer:
    """What the run takes ("takes": kinds of media, narrowed by what it was trained on), its labels and columns, the
    shape of a drawing ("pad": square, wide or none), its options, and whether it knows how sure it must be
    ("cautious")."""
    facts = trained.facts
    kinds = [kind.__name__.lower() for kind in trained.system.takes]
    only = {"table": "row", "pictures": "image", "series": "series"}.get(str(facts.get("kind")))
    pad = "" if facts.get("channels", 1) != 1 else "wide" if facts.get("reading") == "line" else "square"
    knows = False
    with contextlib.suppress(UserError):
        threshold(trained.folder, 99.0, trained.entry.name)
        knows = True
    labels = facts.get("labels")
    columns = facts.get("columns")
    return Answer({
        "system": trained.entry.name, "takes": [only] if only in kinds else kinds,
        "pad": pad if "image" in kinds else "",
        "labels": [str(label) for label in labels] if isinstance(labels, list) else [],
        "columns": columns if isinstance(columns, list) else [], "cautious": knows,
        "options": options(trained.system.use),
        "latent": facts["latent"] if isinstance(facts.get("latent"), list) else [],
        "members": int(trained.config.get("members", 1)), "data": facts.get("data", {}),
        "parameters": sum(weight.numel() for weight in trained.model.parameters()),
    })  # fmt: skip
