"""Pages as scikit-learn's estimators: `Classifier("lenet").fit(pictures, labels)`, `Regressor().fit(table, numbers)`.

What they inherit is what scikit-learn asks of an estimator. Their methods raise ValueError, as its users expect, with
the words of the project's own errors.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from . import __version__
from .catalog import Entry, find, page
from .core.config import Config, changed
from .core.errors import UserError, nearest
from .core.folder import next_folder, write_json, write_status, write_weights
from .core.plan import chosen, machine
from .core.run import Run
from .core.source import Choice, Data, Facts, Held, Place
from .core.system import System
from .data import Rows
from .data.splits import divide
from .media import Image, Number, Ranking, Row
from .trained import Trained

AT_ONCE = 1000  # examples that are answered in one call
NESTED = "settings__"  # in the names of parameters: settings__lr is the page's knob lr
ARRAYS = "arrays that were given to fit"


@contextlib.contextmanager
def as_value_error() -> Generator[None, None, None]:
    """A UserError becomes a ValueError of the same words."""
    try:
        yield
    except UserError as problem:
        raise ValueError(str(problem)) from None


class Estimator(BaseEstimator):
    """A page that learns from arrays: rows of numbers "N D", or pictures "N H W", "N H W 3" or flattened "N (H W)".

    page          the page's name, or the path of a .py file
    settings      its knobs by name, as {"steps": 500}; set_params and grids also take settings__steps=500
    preset        of the page; empty: "table" for rows where the page has one, else "quick"
    validation    the share of the examples, within each class, that is watched and not learned from; 0: all are both
    shape         (H, W) of pictures that are given as rows; None: square ones, where the page takes no rows
    folder        where the run's folder is made and kept; None: in a temporary one that is gone after `fit`
    random_state  the seed; None: another one each time
    """

    def __init__(self, page: str = "mlp", *, settings: Mapping[str, Any] | None = None, preset: str = "",
                 validation: float = 0.1, shape: tuple[int, int] | None = None, folder: str | Path | None = None,
                 random_state: Any = None) -> None:  # fmt: skip
        self.page = page
        self.settings = settings
        self.preset = preset
        self.validation = validation
        self.shape = shape
        self.folder = folder
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; `deep`: the settings one by one, too."""
        found: dict[str, Any] = super().get_params(deep)
        settings = self.settings if deep and isinstance(self.settings, Mapping) else {}
        return found | {NESTED + name: value for name, value in settings.items()}

    def set_params(self, **params: Any) -> Self:
        """This estimator with parameters changed, as scikit-learn calls it. ValueError: there is none of that name."""
        own = {name.removeprefix(NESTED): params.pop(name) for name in list(params) if name.startswith(NESTED)}
        super().set_params(**params)
        if own:
            self.settings = {**(self.settings or {}), **own}
        return self

    def __getstate__(self) -> dict[str, Any]:
        """All that this estimator is, in numbers and words: no code of a page."""
        state: Any = super().__getstate__()
        state = dict(state)
        if trained := state.get("trained_"):
            weights = {name: tensor.numpy() for name, tensor in trained.model.state_dict().items()}
            state["trained_"] = trained.folder, trained.facts, trained.config, weights
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "trained_" in state:
            folder, facts, config, weights = state["trained_"]
            entry = find(self.page)
            system = page(entry).system
            knobs = changed(system.presets["quick"], config["config"], entry.name)
            model = system.build(knobs, facts)
            model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
            self.trained_ = Trained(folder, entry, system, knobs, facts, model.eval(), config)

    def _learn(self, X: np.ndarray, target: np.ndarray, labels: Sequence[str]) -> Self:
        """Train the page on `target`: numbers of `labels`, or values where there are none."""
        with as_value_error():
            entry = find(self.page)
            system: System[Any, Any, Any, Any] = page(entry).system
            self.pictures_ = self.shape is not None or X.ndim > 2 or Row not in system.takes
            preset = self.preset or ("table" if not self.pictures_ and "table" in system.presets else "quick")
            if preset not in system.presets:
                do = nearest(preset, system.presets, f"There are: {', '.join(system.presets)}")
                raise UserError("a preset of this page", repr(preset), do, entry.name)
            knobs = changed(system.presets[preset], dict(self.settings or {}), entry.name)
            takes = Image if self.pictures_ else Row
            if takes not in system.takes or system.read is None or system.loss is None:
                got = f"the page {entry.name}, which does not"
                raise UserError(f"a page that learns from {'pictures' if self.pictures_ else 'tables'} of classes or "
                                "numbers", got, "Take mlp, or lenet for pictures", entry.name)  # fmt: skip
            if self.pictures_ and not labels:
                raise UserError("rows of a table, to learn numbers", "pictures", "Take Classifier", entry.name)
            if not 0 <= self.validation < 1:
                raise UserError("validation from 0 and below 1", repr(self.validation), "For example 0.1", entry.name)
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            with contextlib.ExitStack() as exits:
                root = Path(self.folder or exits.enter_context(tempfile.TemporaryDirectory(prefix="milestones-")))
                run = next_folder(root, entry.name)
                exits.push(partial(_unbegun, run))
                place = Place(torch.device("cpu"), seed, choice=Choice(data=ARRAYS))
                if self.pictures_:
                    self._levels(X)
                    stored = self._stored(run / "arrays.npz", self._frames(X), target, labels)
                    place = place._replace(choice=Choice(data=str(stored)))
                    given = None
                else:
                    given = self._rows(X, target, labels, place)
                order = Order(entry, system, knobs, preset, place, given)
                self.trained_ = learned(run, order, self._media(X[:1]), labels)
        return self

    def _levels(self, X: np.ndarray) -> None:
        """Note what is black and what white: 0 and 255 of uint8, else the smallest and the largest value."""
        self.range_ = (0.0, 255.0) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))

    def _frames(self, X: np.ndarray) -> np.ndarray:
        """Pictures as uint8, "N H W" or "N H W 3". UserError: of another shape."""
        frames: Any = X
        if X.ndim == 2:
            side = math.isqrt(X.shape[1])
            high, wide = self.shape or (side, side)
            if high * wide != X.shape[1]:
                want = f"pictures of {high} x {wide}" if self.shape else "square pictures"
                got = f"{X.shape[1]} feature(s) a row"
                raise UserError(want, got, "Say shape=(height, width), or give arrays N x H x W", str(self.page))
            frames = X.reshape(len(X), high, wide)
        if X.shape[3:] == (1,):
            frames = X[..., 0]
        if frames.ndim not in (3, 4) or (frames.ndim == 4 and frames.shape[3] != 3) or 0 in frames.shape:
            got = " x ".join(map(str, X.shape))
            raise UserError("pictures as N x H x W or N x H x W x 3", got, "Change the array's shape", str(self.page))
        low, high = self.range_
        if (low, high) == (0.0, 255.0) and X.dtype == np.uint8:
            return frames
        return (
            (np.clip((frames.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1) * 255).round().astype(np.uint8)
        )

    def _parts(self, X: np.ndarray, target: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the examples that are learned from, and of those that are watched; by content, so that their
        order is nothing. The only example of a class is both."""
        keys = [hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=8).digest() for row in X]
        part = divide(keys, target if labels else np.zeros(len(X), np.int64),
                      (1 - self.validation, self.validation, 0.0))  # fmt: skip
        every = np.arange(len(X))
        watched = part == 1 if self.validation and (part == 1).any() else part >= 0
        if labels:
            watched |= ~np.isin(target, target[watched])
        return every[part == 0], every[watched]

    def _stored(self, path: Path, frames: np.ndarray, target: np.ndarray, labels: Sequence[str]) -> Path:
        """The pictures in a file that the page's own `prepare` reads."""
        learn, watch = self._parts(frames, target, labels)
        names = np.array(labels)[target]
        np.savez(path, train_images=frames[learn], train_labels=names[learn], valid_images=frames[watch],
                 valid_labels=names[watch], test_images=frames[watch], test_labels=names[watch])  # fmt: skip
        return path

    def _rows(self, X: np.ndarray, target: np.ndarray, labels: Sequence[str], place: Place) -> Data[Rows]:
        """The table as pages know one, from the array: no column is dropped, whatever it holds."""
        learn, watch = self._parts(X, target, labels)
        inputs = torch.from_numpy(X.astype(np.float32))
        goal = torch.from_numpy(target.astype(np.int64 if labels else np.float32))
        fitted, names = X[learn].astype(np.float64), self._columns(X)
        mean, spread = fitted.mean(0), fitted.std(0)
        spread = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, 1.0)
        columns = [{"name": name, "kind": "number", "missing": 0, "median": float(np.median(fitted[:, k])),
                    "mean": float(mean[k]), "spread": float(spread[k])} for k, name in enumerate(names)]  # fmt: skip
        facts: Facts = {"kind": "table", "task": "classes" if labels else "numbers", "target": "y"}
        if labels:
            facts["labels"] = list(labels)
        else:
            known = target[learn].astype(np.float64)
            facts |= {"target_mean": float(known.mean()), "target_spread": float(known.std()) or 1.0}
        facts |= {
            "columns": columns, "names": names, "inputs": len(names), "mean": mean.tolist(), "spread": spread.tolist(),
            "comma": False, "data": {"name": ARRAYS, "train": len(learn), "valid": len(watch), "test": len(watch),
                                     "note": "tested on the examples that were watched"},
        }  # fmt: skip
        held = [Held(Rows(inputs[part], goal[part]), place, ARRAYS, split)
                for split, part in (("train", learn), ("valid", watch), ("test", watch))]  # fmt: skip
        return Data(held[0], held[1], held[2], facts)

    def _columns(self, X: np.ndarray) -> list[str]:
        """The columns' names: those of a data frame, else x1, x2 ..."""
        named = getattr(self, "feature_names_in_", None)
        return [f"x{k + 1}" for k in range(X.shape[1])] if named is None else [str(name) for name in named]

    def _media(self, X: np.ndarray) -> list[Any]:
        """Each example as `use` takes it."""
        if self.pictures_:
            return [Image(frame) for frame in self._frames(X)]
        names = self._columns(X)
        return [Row(dict(zip(names, row, strict=True))) for row in X.astype(np.float64).tolist()]

    def _said(self, X: Any) -> Iterator[Any]:
        """The page's answer to each example."""
        check_is_fitted(self, "trained_")
        examples: Any = validate_data(self, X, reset=False, allow_nd=self.pictures_, dtype=kept_type(X))
        with as_value_error():
            for first in range(0, len(examples), AT_ONCE):
                answers = self.trained_.use(self._media(examples[first : first + AT_ONCE]))
                yield from (next(iter(found.values())) for found in answers)


class Classifier(ClassifierMixin, Estimator):
    """A page that tells classes apart. After `fit`: classes_, and trained_, the run as `milestones.load` gives one."""

    def fit(self, X: Any, y: Any) -> Self:
        """This estimator, trained. ValueError: not two classes, or data that the page cannot learn."""
        examples: Any
        named: Any
        examples, named = validate_data(self, X, y, allow_nd=True, dtype=kept_type(X))
        check_classification_targets(named)
        self.classes_, numbers = np.unique(named, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected at least two classes, got one class: {self.classes_[0]!r}")
        names = [str(label) for label in self.classes_.tolist()]
        self.labels_ = names if len(set(names)) == len(names) else [str(k) for k in range(len(names))]
        return self._learn(examples, numbers.reshape(-1), self.labels_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The chance of each class, "N K", in the order of classes_."""
        number = {label: k for k, label in enumerate(getattr(self, "labels_", ()))}
        rows = []
        for said in self._said(X):
            row = np.empty(len(number))
            row[[number[label] for label in said.labels]] = said.chances
            rows.append(row)
        return np.array(rows)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each example."""
        chances = self.predict_proba(X)
        return self.classes_[chances.argmax(1)]


class Regressor(RegressorMixin, Estimator):
    """A page that tells a number. After `fit`: trained_, the run as `milestones.load` gives one."""

    def fit(self, X: Any, y: Any) -> Self:
        """This estimator, trained. ValueError: data that the page cannot learn."""
        examples: Any
        values: Any
        examples, values = validate_data(self, X, y, allow_nd=True, y_numeric=True, dtype=kept_type(X))
        return self._learn(examples, values.astype(np.float64), ())

    def predict(self, X: Any) -> np.ndarray:
        """The value of each example."""
        return np.array([said.value for said in self._said(X)])


def _unbegun(folder: Path, kind: type[BaseException] | None, problem: object, trace: object) -> None:
    """Remove a run of which not one step was trained: there is nothing to keep."""
    if kind is not None and not (folder / "log.jsonl").exists():
        shutil.rmtree(folder, ignore_errors=True)


def kept_type(X: Any) -> Any:
    """What scikit-learn shall make of an array's type: uint8 stays, whose levels are known; all else is numbers."""
    return np.uint8 if getattr(X, "dtype", None) == np.uint8 else np.float64


class Order(NamedTuple):
    """What is trained, and on what."""

    entry: Entry
    system: System[Any, Any, Any, Any]
    knobs: Config
    preset: str
    place: Place
    data: Data[Rows] | None  # None: what the page's own `prepare` makes of the place


def learned(folder: Path, order: Order, first: Sequence[Any], labels: Sequence[str]) -> Trained:
    """The page, trained in a new run folder, in float32, so that the bits depend on the seed alone. No report is drawn
    and nothing is scored: that is for who asked. UserError: what the page cannot learn, told before it is trained where
    its answer to the `first` input tells."""
    entry, system, knobs, place = order.entry, order.system, order.knobs, order.place
    config = {
        "system": entry.name, "preset": order.preset, "config": knobs.model_dump(mode="json"), "seed": place.seed,
        "choice": {"data": place.choice.data, "target": "", "split": ""}, "plan": "exact", "device": "cpu",
        "year": entry.year, "milestones": __version__, "from": None, "began": time.time(),
    }  # fmt: skip
    write_json(folder / "config.json", config)
    exact = chosen("exact")
    assert exact is not None
    # A plan that is there is not measured: a third of a second, and threads that would be chosen by the clock.
    plan = replace(exact, threads=torch.get_num_threads(), machine=machine())
    write_json(folder / "plan.json", asdict(plan))
    with Run(folder, place, "exact") as run:
        run.showing = False
        run.seed("prepare")
        data = order.data or system.prepare(knobs, place)
        facts = json.loads(json.dumps(data.facts))
        write_json(folder / "facts.json", facts)
        run.seed("build")
        model = system.build(knobs, facts)
        trained = Trained(folder, entry, system, knobs, facts, model.eval(), config)
        if not _fits(trained, first, labels):
            what = f"{len(labels)} classes" if labels else "numbers"
            raise UserError(f"a page that learns {what}", f"the page {entry.name}", "Take mlp", entry.name)
        write_status(folder, {"state": "training", "step": 0, "updated": time.time()})
        system.train(knobs, model, data, run)
        if run.ended == "interrupted":
            raise KeyboardInterrupt
        model.eval()
        seal = write_weights(folder / "weights.safetensors", model.state_dict())
        facts_seal = hashlib.sha256((folder / "facts.json").read_bytes()).hexdigest()
        write_status(folder, {"state": "finished", "step": run.step, "seconds": round(run.seconds, 1),
                              "updated": time.time(), "ended": run.ended or "finished", "weights_sha256": seal,
                              "facts_sha256": facts_seal})  # fmt: skip
    return trained


def _fits(trained: Trained, first: Sequence[Any], labels: Sequence[str]) -> bool:
    """Whether the page's answer is of the kind that was asked for: a ranking of these labels, or a number."""
    try:
        said = next(iter(trained.use(first)[0].values()))
    except (AssertionError, LookupError):  # other chances than labels, or no labels for chances
        return False
    if labels:
        return isinstance(said, Ranking) and set(said.labels) == set(labels)
    return isinstance(said, Number)
