"""The standard pipelines that a net has to beat: scikit-learn on raw inputs and on features made by hand."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

Task = Literal["classes", "numbers"]
SIZES = (100, 300, 1000, 3000)  # training examples at which pipelines are compared, before all
LEAST_SIDE = 8  # pixels: two cells of HOG


def task_of(facts: Mapping[str, Any]) -> tuple[Task, int]:
    """What is to be predicted, and the side of pictures, 0 for tables."""
    return "classes" if "labels" in facts else "numbers", facts.get("side", 0)


def hog(image: Shaped[np.ndarray, "N H W"], cell: int = 4, bins: int = 9) -> Float[np.ndarray, "N F"]:
    """Histograms of oriented gradients (Dalal and Triggs 2005), float32.

    Each pixel votes with its gradient's length for the two nearest of `bins` undirected directions; votes are summed in
    cells of `cell` x `cell` pixels, and each block of 2 x 2 cells is normalised (L2, clipped at 0.2, L2 again). Pixels
    at the right and lower border that fill no cell are left out.
    """
    return np.concatenate([_hog(image[i : i + 500], cell, bins) for i in range(0, len(image), 500)])


def _hog(image: np.ndarray, cell: int, bins: int) -> np.ndarray:
    grey = np.asarray(image, np.float32)
    n, rows, columns = len(grey), grey.shape[1] // cell, grey.shape[2] // cell
    dy, dx = np.zeros_like(grey), np.zeros_like(grey)
    dy[:, 1:-1], dx[:, :, 1:-1] = grey[:, 2:] - grey[:, :-2], grey[:, :, 2:] - grey[:, :, :-2]
    dy, dx = dy[:, : rows * cell, : columns * cell], dx[:, : rows * cell, : columns * cell]
    where = np.nonzero((dx != 0) | (dy != 0))  # elsewhere there is nothing to vote with
    dy, dx = dy[where], dx[where]
    length = np.hypot(dx, dy)
    place = np.arctan2(dy, dx) % np.pi * (bins / np.pi) - 0.5  # in bins: the middle of bin b is at b
    low = np.floor(place)
    share = place - low
    low = low.astype(np.int64) % bins
    at = ((where[0] * rows + where[1] // cell) * columns + where[2] // cell) * bins
    over = n * rows * columns * bins
    votes = np.bincount(at + low, length * (1 - share), over) + np.bincount(at + (low + 1) % bins, length * share, over)
    votes = votes.reshape(n, rows, columns, bins).astype(np.float32)
    corners = [votes[:, y : rows - 1 + y, x : columns - 1 + x] for y in (0, 1) for x in (0, 1)]
    block = _unit(np.concatenate(corners, -1))  # N rows-1 columns-1 4*bins
    return _unit(np.minimum(block, 0.2)).reshape(n, -1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(np.square(vector).sum(-1, keepdims=True) + 1e-6)


class Pipeline(NamedTuple):
    """A way to predict, as scikit-learn has it: an unfitted estimator from inputs "N D", raw, to targets "N"."""

    words: str  # what it is
    estimator: Any


def compared(task: Task, side: int, inputs: Any, targets: Any, asked: Any) -> dict[str, tuple[str, np.ndarray]]:
    """By the name of each pipeline: what it is, and its predictions "M" for `asked`, "M ...", after learning `targets`,
    "N", from `inputs`, "N ...". Arrays or tensors. Empty without scikit-learn."""
    inputs, targets, asked = map(_array, (inputs, targets, asked))
    rows, asked_rows = inputs.reshape(len(inputs), -1), asked.reshape(len(asked), -1)
    found = pipelines(task, len(rows), side)
    return {name: (it.words, _predict(it.estimator, rows, targets, asked_rows)) for name, it in found.items()}


def learning_curves(task: Task, side: int, train: Sequence[Any], valid: Sequence[Any], sizes: Sequence[int],
                    ) -> dict[str, list[float]]:  # fmt: skip
    """By the name of each pipeline: its percent of wrong classes, or mean absolute error, on `valid` after learning
    from the first n examples of `train`, for each n of `sizes`. Both are inputs and targets."""
    (inputs, targets), (asked, right) = map(_array, train), map(_array, valid)
    found: dict[str, list[float]] = {}
    for n in sizes:
        for name, (_, said) in compared(task, side, inputs[:n], targets[:n], asked).items():
            missed = 100.0 * (said != right) if task == "classes" else np.abs(said - right)
            found.setdefault(name.replace("_", " "), []).append(float(missed.mean()))
    return found


def _array(field: Any) -> np.ndarray:
    return np.asarray(field.cpu() if hasattr(field, "cpu") else field)


def _predict(estimator: Any, inputs: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> np.ndarray:
    from threadpoolctl import threadpool_limits

    if (targets == targets[0]).all():  # a small sample may hold one class alone
        return np.full(len(asked), targets[0])
    # One thread: with two, on two cores that others use too, scikit-learn was found to be ten times slower.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # fewer updates than convergence takes are meant
        return estimator.fit(inputs, targets).predict(asked)


def pipelines(task: Task, over: int, side: int = 0) -> dict[str, Pipeline]:
    """The pipelines for `over` training examples, by name; none where scikit-learn is not installed.

    `side`: an input is a square picture of so many pixels a side, as a row of grey levels 0 to 255; 0: a table's row.
    All are deterministic, and sized to be fitted to 8,000 pictures in a few seconds each.
    """
    try:
        from sklearn import ensemble, linear_model, neighbors
        from sklearn.feature_selection import SelectFromModel
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer, StandardScaler
        from sklearn.svm import LinearSVC
    except ImportError:
        return {}
    scale = FunctionTransformer(_levels) if side else StandardScaler()
    nearest = {"n_neighbors": min(5, over), "weights": "distance", "algorithm": "brute"}
    if task == "classes":
        near: Any = neighbors.KNeighborsClassifier(**nearest)
        linear: Any = linear_model.RidgeClassifier(100.0 if side else 1.0)
        logistic: Any = linear_model.LogisticRegression(C=0.1 if side else 1.0, max_iter=100)
        chosen, last, trees = (
            LinearSVC(C=0.1, penalty="l1", dual=False),
            logistic,
            ensemble.HistGradientBoostingClassifier,
        )
    else:
        near, linear = neighbors.KNeighborsRegressor(**nearest), linear_model.RidgeCV(np.logspace(-2, 3, 11))
        chosen, last, trees = linear_model.LassoCV(cv=min(5, over)), linear, ensemble.HistGradientBoostingRegressor
    name = "logistic regression" if task == "classes" else "ridge regression"
    found = {
        "nearest_neighbours": Pipeline("5 nearest neighbours", make_pipeline(scale, near)),
        "linear": Pipeline(
            "ridge regression" + " on classes as +1 and -1" * (task == "classes"), make_pipeline(scale, linear)
        ),
    }
    if task == "classes":
        found["logistic"] = Pipeline("logistic regression", make_pipeline(scale, logistic))
    if side >= LEAST_SIDE:
        last = linear_model.LogisticRegression(C=3.0, max_iter=100)
        found["hog"] = Pipeline(
            f"{name} on oriented gradients (HOG)", make_pipeline(FunctionTransformer(_hog_of_rows), last)
        )
    if side:
        boosted = trees(learning_rate=0.3, max_iter=20, max_leaf_nodes=15, max_bins=16, early_stopping=False)
        halved = make_pipeline(FunctionTransformer(_halved), boosted)
        found["boosted_trees"] = Pipeline("20 rounds of gradient-boosted trees on pixels averaged 2 x 2", halved)
    else:
        select = SelectFromModel(chosen, threshold=1e-5, importance_getter=_importance)
        found["l1"] = Pipeline(f"{name} on inputs that an L1 penalty selects", make_pipeline(scale, select, last))
        boosted = trees(learning_rate=0.05, max_iter=100, max_leaf_nodes=15, early_stopping=False)
        found["boosted_trees"] = Pipeline("100 rounds of gradient-boosted trees", boosted)
    return found


def _importance(fitted: Any) -> np.ndarray:
    """Weights by size for each input; equal ones, which keep all, where the penalty left none."""
    size = np.abs(np.atleast_2d(fitted.coef_)).max(0)
    return size if (size > 1e-5).any() else np.ones_like(size)


def _levels(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows, np.float32) / 255


def _square(rows: np.ndarray) -> np.ndarray:
    side = round(rows.shape[1] ** 0.5)
    return rows.reshape(-1, side, side)


def _hog_of_rows(rows: np.ndarray) -> np.ndarray:
    return hog(_square(rows))


def _halved(rows: np.ndarray) -> np.ndarray:
    picture = _square(rows)
    half = picture.shape[1] // 2
    mean = picture[:, : 2 * half, : 2 * half].reshape(-1, half, 2, half, 2).mean((2, 4), dtype=np.float32)
    return mean.reshape(len(rows), -1)
