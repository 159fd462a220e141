"""What training on a path would read, and all that is wrong with it: for ``milestones data PATH``. Changes
nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import UserError
from .kinds import NAMES, sight
from .splits import SPLITS

THUMB = 16  # pixels; enough to tell pictures apart, small enough to compare all
ALIKE = 0.99  # correlation of two thumbnails above which they are counted as near-duplicates
SHOWN = 20  # problems printed; all are in plain()


@dataclass(frozen=True)
class Findings:
    """What was found: kind, counts by split and class, examples, problems (one line each), duplicates and
    notes."""

    path: str
    kind: str
    reason: str
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # split -> class -> examples
    examples: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()  # of a table: each with its kind
    problems: tuple[str, ...] = ()
    duplicates: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """True when training would start."""
        return not self.problems

    def lines(self) -> list[str]:
        """The findings for a terminal."""
        out = [f"{self.path}: {self.kind}, because {self.reason}"]
        for split, classes in self.counts.items():
            total = sum(classes.values())
            shown = ", ".join(f"{label} {count:,}" for label, count in list(classes.items())[:12])
            rest = f", and {len(classes) - 12} more classes" if len(classes) > 12 else ""
            out.append(f"  {split}: {total:,}" + (f" ({shown}{rest})" if len(classes) > 1 else ""))
        out += [f"  column {column}" for column in self.columns]
        out += [f"  for instance {example}" for example in self.examples]
        out += [f"  {count:,} {what}" for what, count in self.duplicates.items() if count]
        out += [f"  note: {note}" for note in self.notes]
        out += [f"  wrong: {problem}" for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            out.append(f"  and {len(self.problems) - SHOWN:,} more problems")
        wrong = f"{len(self.problems):,} problem{'s' * (len(self.problems) != 1)} to mend before training"
        out.append("  can be trained on" if self.usable else f"  {wrong}")
        return out

    def plain(self) -> dict[str, Any]:
        """The findings for JSON."""
        return {
            "path": self.path, "kind": self.kind, "reason": self.reason, "counts": self.counts,
            "examples": list(self.examples), "columns": list(self.columns), "problems": list(self.problems),
            "duplicates": self.duplicates, "notes": list(self.notes), "usable": self.usable,
        }  # fmt: skip


def look(path: str | Path, target: str = "", split: str = "") -> Findings:
    """The findings on the data at `path`. UserError only where nothing can be looked at: no such path, no
    data."""
    kind, reason = sight(str(path))
    if str(path) in NAMES and not Path(path).exists():
        return _held(str(path), reason, target, split)
    if kind == "table":
        return _table(Path(path), reason, target, split)
    if kind == "recordings":
        return _recordings(Path(path), reason, target, split)
    if kind == "frames":
        return _films(Path(path), reason, target, split)
    if kind == "speech":
        return _speech(Path(path), reason, split)
    if kind == "pairs":
        from .look_pairs import pairs_found

        return pairs_found(str(path), reason, target, split)
    if kind == "series":
        return _series(Path(path), reason, target, split)
    if kind == "sounds":
        return _sounds(Path(path), reason, split)
    if kind == "captions":
        return _captions(Path(path), reason, split)
    if kind == "text":
        from .look_text import text_found

        return text_found(str(path), reason, split)
    if kind == "texts":
        from .look_texts import texts_found

        return texts_found(Path(path), reason, target, split)
    from .own import arrays

    try:
        if arrays(Path(path)) is not None:
            return _held(str(path), reason, target, split)
    except UserError as problem:
        return Findings(str(path), kind, reason, problems=(str(problem),))
    return _files(Path(path), reason, target, split)


def _films(path: Path, reason: str, target: str, split: str) -> Findings:
    """Findings on films with a label for each frame, all of them read."""
    from .clips import clips, listed

    found, problems, _ = listed(path, target)
    examples = tuple(f"{film.path} is {label!r} in {word}" for film in found[:3] for word, label, _ in film.rows[:1])
    if problems:
        return Findings(str(path), "frames", reason, {}, examples, problems=tuple(map(str, problems)))
    try:
        data = clips(_place(str(path), target, split), 0)
    except UserError as problem:
        return Findings(str(path), "frames", reason, {}, examples, problems=(str(problem),))
    counts = {}
    for name, source in zip(SPLITS, data[:3], strict=True):
        label = source.columns[1].values.numpy()
        counts[name] = _counted(label[label > 0] - 1, data.facts["labels"])
    return Findings(str(path), "frames", reason, counts, examples, notes=tuple(data.facts["data"]["note"].split("; ")))


def _speech(path: Path, reason: str, split: str) -> Findings:
    """Findings on recordings with transcripts, each of them opened: how many each speaker has in each split."""
    from .speech import divided
    from .transcripts import transcripts
    from .wavs import rate_of, recordings

    counts: dict[str, dict[str, int]] = {}
    try:
        listed = transcripts(path)
        rate = rate_of(listed.paths)
        read = recordings(listed.paths, rate)
        about = listed.only(read.kept)
        part, how = divided(about, read.keys, split)
    except UserError as problem:
        return Findings(str(path), "speech", reason, problems=(str(problem),))
    for k, name in enumerate(SPLITS):
        speakers = [about.speakers[i] or "unknown speaker" for i in np.flatnonzero(part == k)]
        counts |= {name: {one: speakers.count(one) for one in sorted(set(speakers))}} if speakers else {}
    seconds, signs = read.samples.length.numpy() / rate, "".join(sorted(set("".join(about.texts))))
    notes = [f"{seconds.sum() / 3600:.2f} hours at {rate:,} Hz; signs: {signs}", how, *listed.notes]
    examples = tuple(
        f"{about.paths[i].name} is {about.texts[i]!r}" for i in range(0, len(seconds), len(seconds) // 3 or 1)
    )
    duplicates = {"recordings with the sound of another": len(read.keys) - len(set(read.keys))}
    problems = tuple(map(str, read.problems.values()))
    return Findings(str(path), "speech", reason, counts, examples[:3], (), problems, duplicates, tuple(notes))


def _recordings(path: Path, reason: str, target: str, split: str) -> Findings:
    """Findings on recordings, all of them read; trials in .edf files begin with their annotation and last 4 s."""
    from .recordings import listed, recordings

    found, problems = listed(path)
    examples = tuple(f"{session.path}: {len(session.label)} trials of {session.subject}" for session in found[:3])
    if problems:
        return Findings(str(path), "recordings", reason, {}, examples, problems=tuple(map(str, problems)))
    try:
        data = recordings(_place(str(path), target, split), 0, 0, 0.0, 4.0)
    except UserError as problem:
        return Findings(str(path), "recordings", reason, {}, examples, problems=(str(problem),))
    counts = {name: _counted(source.examples.label.numpy(), data.facts["labels"])
              for name, source in zip(SPLITS, data[:3], strict=True)}  # fmt: skip
    notes = tuple(data.facts["data"]["note"].split("; "))
    if any(session.path.suffix.lower() == ".edf" for session in found):
        notes += ("looked at as trials of 4 s after each cue: --begin-s and --length-s train on others",)
    return Findings(str(path), "recordings", reason, counts, examples, notes=notes)


def _sounds(path: Path, reason: str, split: str) -> Findings:
    """Findings on sounds of classes, each of them opened."""
    from .sounds import classes, divided
    from .wavs import rate_of, recordings

    try:
        listed = classes(path)
        rate = rate_of(listed.paths)
        read = recordings(listed.paths, rate)
        labels = [listed.labels[i] for i in read.kept]
        names = sorted(set(labels))
        label = np.array([names.index(one) for one in labels])
        part, how = divided(read.keys, label, [listed.splits[i] for i in read.kept], split)
    except UserError as problem:
        return Findings(str(path), "sounds", reason, problems=(str(problem),))
    problems = tuple(map(str, [*listed.problems, *read.problems.values()]))
    counts = {name: _counted(label[part == k], names) for k, name in enumerate(SPLITS) if (part == k).any()}
    seconds = read.samples.length.numpy() / rate
    notes = [f"{seconds.sum() / 3600:.2f} hours at {rate:,} Hz, {seconds.min(initial=0):.2g} to "
             f"{seconds.max(initial=0):.2g} s each", how, *listed.notes]  # fmt: skip
    examples = tuple(f"{listed.paths[i].name} is {listed.labels[i]!r}" for i in read.kept[:: len(labels) // 3 or 1])
    duplicates = {"recordings with the sound of another": len(read.keys) - len(set(read.keys))}
    return Findings(str(path), "sounds", reason, counts, examples[:3], (), problems, duplicates, tuple(notes))


def _place(path: str, target: str, split: str) -> Any:
    import torch

    from ..core.source import Choice, Place

    return Place(torch.device("cpu"), 0, choice=Choice(path, target, split))


def _held(path: str, reason: str, target: str, split: str) -> Findings:
    """Findings on pictures in arrays, read as training would."""
    from .pictures import pictures

    try:
        data = pictures(_place(path, target, split))
    except UserError as problem:
        return Findings(path, "pictures", reason, problems=(str(problem),))
    labels = data.facts["labels"]
    images = [source.examples.image.numpy() for source in data[:3]]
    targets = [source.examples.label.numpy() for source in data[:3]]
    counts = {name: _counted(target, labels) for name, target in zip(SPLITS, targets, strict=True)}
    examples = tuple(f"{k + 1} of train is {labels[targets[0][k]]!r}" for k in range(min(3, len(targets[0]))))
    part = np.repeat(np.arange(3), [len(image) for image in images])
    thumbs = np.concatenate([_thumbs(image[:, 0]) for image in images])
    return Findings(path, "pictures", reason, counts, examples, duplicates=_duplicates(thumbs, part),
                    notes=(data.facts["data"]["note"],))  # fmt: skip


def _counted(target: np.ndarray, labels: list[str]) -> dict[str, int]:
    counts = np.bincount(target, minlength=len(labels))
    return {label: int(count) for label, count in zip(labels, counts, strict=True) if count}


def _files(path: Path, reason: str, target: str, split: str) -> Findings:
    """Findings on pictures in files, each of them opened."""
    from .listing import decoded, listing, ordered
    from .own import divided

    try:
        listed = listing(path, target)
    except UserError as problem:
        return Findings(str(path), "pictures", reason, problems=(str(problem),))
    problems, keys, frames, kept = [str(problem) for problem in listed.problems], [], [], []
    for i, (frame, key, problem) in enumerate(decoded(listed.paths, THUMB)):
        if problem is not None or frame is None:
            problems.append(str(problem))
            continue
        keys.append(key)
        frames.append(frame)
        kept.append(i)
    notes, counts, duplicates = list(listed.notes), {}, {}
    if kept:
        labels = [listed.labels[i] for i in kept]
        names = ordered(labels)
        number = {label: k for k, label in enumerate(names)}
        label = np.array([number[name] for name in labels])
        where = np.array([listed.splits[i] for i in kept])
        try:
            part = divided(keys, label, where, split, path)
        except UserError as problem:
            problems.append(str(problem))
            part = np.zeros(len(label), np.int64)
        counts = {name: _counted(label[part == k], names) for k, name in enumerate(SPLITS) if (part == k).any()}
        notes.append(
            "split by " + ("its own folders or column" if (where != "").any() else "content within each class")
        )
        duplicates = _same(keys, label, listed, kept, problems)
        duplicates |= _duplicates(_thumbs(np.stack(frames)), part)
    examples = tuple(f"{listed.paths[i]} is {listed.labels[i]!r}" for i in kept[:: max(1, len(kept) // 3)][:3])
    return Findings(str(path), "pictures", reason, counts, examples, (), tuple(problems), duplicates, tuple(notes))


def _captions(path: Path, reason: str, split: str) -> Findings:
    """Findings on pictures with sentences, each of them opened."""
    from .captioned import captioned, parted
    from .listing import decoded

    try:
        found = captioned(path)
    except UserError as problem:
        return Findings(str(path), "captions", reason, problems=(str(problem),))
    problems, kept = [str(problem) for problem in found.problems], []
    for i, (frame, key, problem) in enumerate(decoded(found.paths, THUMB)):
        if problem is not None or frame is None:
            problems.append(str(problem))
        else:
            kept.append((i, key, frame))
    counts, duplicates = {}, {}
    if kept:
        rest = replace(found, splits=[found.splits[i] for i, _, _ in kept])
        try:
            part = parted(rest, [key for _, key, _ in kept], path, split)
            counts = {name: {"pictures": int((part == k).sum())} for k, name in enumerate(SPLITS)}
            duplicates = _duplicates(_thumbs(np.stack([frame for _, _, frame in kept])), part)
        except UserError as problem:
            problems.append(str(problem))
    examples = tuple(f"{found.paths[i]}: {found.said[i][0]}" for i, _, _ in kept[:: max(1, len(kept) // 3)][:3])
    return Findings(str(path), "captions", reason, counts, examples, (), tuple(problems), duplicates,
                    tuple(found.notes))  # fmt: skip


def _same(keys: list[bytes], label: np.ndarray, listed: Any, kept: list[int], problems: list[str]) -> dict[str, int]:
    """How many files have the content of an earlier one; where the classes differ that is a problem."""
    first: dict[bytes, int] = {}
    twice = 0
    for i, key in enumerate(keys):
        j = first.setdefault(key, i)
        if j != i:
            twice += 1
            if label[i] != label[j]:
                got = f"{listed.paths[kept[i]]} also as {listed.paths[kept[j]]} ({listed.labels[kept[j]]})"
                problems.append(str(UserError("each picture in one class", got, "Remove one of the two", "data")))
    return {"files with the content of another": twice}


def _thumbs(image: np.ndarray) -> np.ndarray:
    """Pictures "N H W" as rows of length 1 around their mean, "N 256"; a picture of one grey level as
    zeros."""
    if image.shape[1:] != (THUMB, THUMB):
        from PIL import Image as Pillow

        size, how = (THUMB, THUMB), Pillow.Resampling.BILINEAR
        image = np.stack([np.asarray(Pillow.fromarray(frame).resize(size, how)) for frame in image])
    flat = image.reshape(len(image), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-3)


def _duplicates(thumbs: np.ndarray, part: np.ndarray) -> dict[str, int]:
    """How many examples of valid and of test look like one of train (or, for test, of valid)."""
    found = {}
    for k, earlier in ((1, part == 0), (2, part < 2)):
        mine, others = thumbs[part == k], thumbs[earlier]
        count = 0
        for begin in range(0, len(mine), 256):
            rows = mine[begin : begin + 256]
            best = np.full(len(rows), -1.0, np.float32)
            for at in range(0, len(others), 16384):
                best = np.maximum(best, (rows @ others[at : at + 16384].T).max(1))
            count += int((best >= ALIKE).sum())
        where = "train" if k == 1 else "train or valid"
        found[f"near-duplicates: {SPLITS[k]} pictures that look like one of {where}"] = count
    return found


def _series(path: Path, reason: str, target: str, split: str) -> Findings:
    """Findings on series, each of them read."""
    from .series import keys_of, read, series

    try:
        found, wrong = read(path, target)
    except UserError as problem:
        return Findings(str(path), "series", reason, problems=(str(problem),))
    problems = [str(problem) for problem in wrong]
    twice = {"series equal to an earlier one": len(found) - len(set(keys_of(found)))}
    counts: dict[str, dict[str, int]] = {"all": {"series": len(found)}}
    notes: tuple[str, ...] = ()
    if not problems:
        try:
            data = series(_place(str(path), target, split))
        except UserError as problem:
            problems.append(str(problem))
        else:
            facts = data.facts
            counts = {name: _counted(source.columns[1].numpy(), facts["labels"])
                      for name, source in zip(SPLITS, data[:3], strict=True)}  # fmt: skip
            notes = (facts["data"]["note"], f"{len(facts['channels'])} channels: {', '.join(facts['channels'][:8])}")
    examples = tuple(f"{one.name} is {one.label!r}, {len(one.values)} steps" for one in found[:3])
    return Findings(str(path), "series", reason, counts, examples, (), tuple(problems), twice, notes)


def _table(path: Path, reason: str, target: str, split: str) -> Findings:
    """Findings on a table: without a target what its columns are, with one what training would read."""
    from ..media.sheet import MISSING, sheet
    from .tables import table

    try:
        read = sheet(path)
    except UserError as problem:
        return Findings(str(path), "table", reason, problems=(str(problem),))
    rows = list(zip(*read.columns.values(), strict=True))
    twice = len(rows) - len(set(map(repr, rows)))
    duplicates = {"rows equal to an earlier one": twice}
    examples = tuple(
        ", ".join(f"{name}={cell}" for name, cell in zip(read.columns, row, strict=True))[:100] for row in rows[:3]
    )
    gaps = {name: sum(cell is None or str(cell).strip().lower() in MISSING for cell in column)
            for name, column in read.columns.items()}  # fmt: skip
    plain = tuple(
        f"{name}: {len(set(map(str, column))):,} different" + (f", {gaps[name]:,} missing" if gaps[name] else "")
        for name, column in read.columns.items()
    )
    if not target:
        do = f"Say which column to predict: --target {list(read.columns)[-1]}"
        return Findings(
            str(path), "table", reason, {"all": {"rows": len(rows)}}, examples, plain, (), duplicates, (do,)
        )
    try:
        data = table(_place(str(path), target, split))
    except UserError as problem:
        counts = {"all": {"rows": len(rows)}}
        return Findings(str(path), "table", reason, counts, examples, plain, (str(problem),), duplicates)
    facts = data.facts
    columns = tuple(
        f"{spec['name']}: {spec['kind']}"
        + (f", {len(spec['categories'])} categories" if spec["kind"] == "category" else f", mean {spec['mean']:.4g}")
        + (f", {spec['missing']:,} missing in train" if spec["missing"] else "")
        for spec in facts["columns"]
    )
    counts = {}
    for name, source in zip(SPLITS, data[:3], strict=True):
        goal = source.examples.target.numpy()
        counts[name] = _counted(goal, facts["labels"]) if facts["task"] == "classes" else {"rows": len(goal)}
    notes = (f"target {target!r}: {facts['task']}", *filter(None, [facts["data"]["note"]]))
    return Findings(str(path), "table", reason, counts, examples, columns, (), duplicates, notes)
