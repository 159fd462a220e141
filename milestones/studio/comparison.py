"""Runs side by side for the page: groups that differ in their seed only, what differs, scores with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..report import files
from ..verbs.groups import differing, gathered, scored, settings_of
from .library import Library, finite, number, scores, text


def compared(library: Library, runs: Sequence[str]) -> dict[str, Any]:
    """{"groups": [{"runs", "settings", "scores", "seconds", "config"}], "differ": names, "names": of scores}.

    A group of one has its scores with the interval of the test sample; a larger one has the mean over its seeds, with
    their interval. Runs that are gone are left out.
    """
    found, folders = [], library.folders()
    for run in runs:
        folder = folders.get(run)
        if folder is None:
            continue
        report = files.record(folder, "report.json")[0]
        found.append({"run": run, "config": files.record(folder, "config.json")[0], "scores": scores(report),
                      "seconds": number(report, "seconds")})  # fmt: skip
    groups = gathered(found)
    flat = [settings_of(members[0]["config"]) for members in groups]
    differ = differing(flat)
    content = []
    for members, settings in zip(groups, flat, strict=True):
        done = [member for member in members if member["scores"]]
        seconds = [member["seconds"] for member in members if member["seconds"] is not None]
        many = scored([member["scores"] for member in done]) if len(done) > 1 else {}
        content.append({
            "runs": [member["run"] for member in members], "system": text(members[0]["config"], "system"),
            "settings": finite({name: settings.get(name) for name in differ}),
            "scores": many or (done[0]["scores"] if done else {}),
            "seconds": sum(seconds) / len(seconds) if seconds else None,
        })  # fmt: skip
    names = list(dict.fromkeys(name for group in content for name in group["scores"]))
    return {"groups": content, "differ": differ, "names": names}
