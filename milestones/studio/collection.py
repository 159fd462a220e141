"""Routes about many runs: curves on one axis, comparison, a run as a zip file, deleted runs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from ..core.errors import UserError
from . import comparison
from .archive import name_of, packed
from .library import finite
from .trash import Trash

if TYPE_CHECKING:
    from .serve import Studio

MOST = 500  # runs of one question


def several(runs: str) -> list[str]:
    """Ids from a list with commas. UserError: too many."""
    found = list(dict.fromkeys(run for run in runs.split(",") if run))
    if len(found) > MOST:
        raise UserError(f"at most {MOST} runs at once", f"{len(found):,}", "Choose fewer", "studio")
    return found


def bound(word: str, otherwise: float) -> float:
    """An end of a range; `otherwise` where it is empty. UserError: no number."""
    try:
        value = float(word) if word else otherwise
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UserError("a range of two numbers", repr(word)[:40], "Zoom out", "studio")
    return value


def told(content: Any) -> Response:
    """JSON without a second look at each of its 100,000 figures."""
    try:
        body = json.dumps(content, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):  # a log may hold figures that JSON does not have, or be nested deeply
        body = json.dumps(finite(content), allow_nan=False)
    return Response(body, media_type="application/json")


def add(app: FastAPI, studio: Studio) -> None:
    """Add the routes."""
    library, trash = studio.library, Trash(studio.library)

    @app.get("/api/curves")
    def curves(runs: str, name: str = "loss", over: str = "step", low: str = "", high: str = "") -> Response:
        """The curves of a quantity of several runs on one axis, thinned for a chart; see curves.py."""
        if over not in ("step", "seconds"):
            raise UserError("an axis of step or seconds", repr(over)[:40], "Choose one of the two", "studio")
        ends = bound(low, -math.inf), bound(high, math.inf)
        return told(library.drawn(several(runs), name, over, *ends))

    @app.get("/api/compare")
    def compare(runs: str) -> dict[str, Any]:
        return comparison.compared(library, several(runs))

    @app.get("/api/runs/{run}/log")
    def log(run: str) -> Response:
        rows, offset = library.log(run)
        return told({"rows": rows, "offset": offset})

    @app.get("/api/runs/{run}/zip")
    def export(run: str) -> Response:
        folder = library.folder(run)
        head = {"content-disposition": f'attachment; filename="{name_of(folder)}"'}
        return StreamingResponse(packed(folder), media_type="application/zip", headers=head)

    @app.post("/api/runs/{run}/delete")
    def delete(run: str) -> dict[str, Any]:
        return trash.add(run)

    @app.get("/api/trash")
    def deleted() -> list[dict[str, Any]]:
        return trash.listed()

    @app.post("/api/trash/{ident}/restore")
    def restore(ident: str) -> dict[str, Any]:
        return {"run": trash.restore(ident)}
