"""The standard pipelines that a net has to beat: scikit-learn on raw inputs and on features made by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

Task = Literal["classes", "numbers"]
LEAST_SIDE = 12  # pixels: below it a picture has too few cells for HOG


class Pipeline(NamedTuple):
    """A pipeline from training inputs "N D", their targets "N" and inputs "M D" to predictions "M"."""

    words: str  # what it is, for a note
    predict: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def hog(image: Shaped[np.ndarray, "N H W"], cell: int = 4, bins: int = 9) -> Float[np.ndarray, "N F"]:
    """Histograms of oriented gradients (Dalal and Triggs 2005): each pixel votes with its gradient's length for the two
    nearest of `bins` unsigned directions; votes are summed in cells, and each block of 2 x 2 cells is normalised (L2,
    clipped at 0.2, L2 again). What does not fill a cell at the lower and right border is left out."""
    grey = np.asarray(image, dtype=np.float32)
    dy, dx = np.zeros_like(grey), np.zeros_like(grey)
    dy[:, 1:-1], dx[:, :, 1:-1] = grey[:, 2:] - grey[:, :-2], grey[:, :, 2:] - grey[:, :, :-2]
    n, rows, columns = len(grey), grey.shape[1] // cell, grey.shape[2] // cell
    dy, dx = dy[:, : rows * cell, : columns * cell], dx[:, : rows * cell, : columns * cell]
    length = np.hypot(dx, dy)
    place = np.arctan2(dy, dx) % np.pi / np.pi * bins - 0.5  # in bins; bin b has its centre at b
    votes = np.empty((n, rows, columns, bins), np.float32)
    for b in range(bins):
        apart = np.abs((place - b + bins / 2) % bins - bins / 2)  # around the circle
        vote = length * np.maximum(0, 1 - apart)
        votes[..., b] = vote.reshape(n, rows, cell, columns, cell).sum((2, 4))
    corners = [votes[:, y : rows - 1 + y, x : columns - 1 + x] for y in (0, 1) for x in (0, 1)]
    block = np.concatenate(corners, -1)  # N rows-1 columns-1 4*bins
    block = np.minimum(_unit(block), 0.2)
    return _unit(block).reshape(n, -1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(np.square(vector).sum(-1, keepdims=True) + 1e-6)


def pipelines(task: Task, side: int = 0) -> dict[str, Pipeline]:
    """The pipelines for a task, by name; none where scikit-learn is not installed. `side`: inputs are square pictures
    of so many pixels a side, as rows of grey levels; 0: the columns of a table."""
    try:
        import sklearn  # noqa: F401  (is it there?)
    except ImportError:
        return {}
    classes = task == "classes"
    found = {
        "nearest_neighbours": Pipeline("5 nearest neighbours", _pipeline(_neighbours, task, side)),
        "linear": Pipeline("ridge regression" + " on classes as +-1" * classes, _pipeline(_ridge, task, side)),
    }
    if classes:
        found["logistic"] = Pipeline("logistic regression", _pipeline(_logistic, task, side))
    last = "logistic regression" if classes else "ridge regression"
    if side >= LEAST_SIDE:
        found["hog"] = Pipeline(f"{last} on oriented gradients (HOG)", _pipeline(_on_hog, task, side))
    elif not side:
        found["l1"] = Pipeline(f"{last} on inputs selected by an L1 penalty", _pipeline(_on_selected, task, side))
    found["boosted_trees"] = Pipeline("gradient-boosted trees", _pipeline(_boosted, task, side))
    return found


Maker = Callable[[Task, int, int], Any]  # task, side, number of training examples -> an estimator


def _pipeline(make: Maker, task: Task, side: int) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    def predict(inputs: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> np.ndarray:
        inputs, asked = np.asarray(inputs, np.float32), np.asarray(asked, np.float32)
        if (targets == targets[0]).all():  # one class in a small sample
            return np.full(len(asked), targets[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the steps below were too few to converge is known
            return make(task, side, len(inputs)).fit(inputs, targets).predict(asked)

    return predict


def _neighbours(task: Task, side: int, over: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    kind = KNeighborsClassifier if task == "classes" else KNeighborsRegressor
    return _scaled(side, kind(min(5, over), weights="distance", algorithm="brute"))


def _ridge(task: Task, side: int, over: int) -> Any:
    from sklearn.linear_model import Ridge, RidgeClassifier

    return _scaled(side, (RidgeClassifier if task == "classes" else Ridge)(alpha=1.0 if not side else 0.01 * over))


def _logistic(task: Task, side: int, over: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(side, LogisticRegression(C=1.0 if not side else 50 / over, max_iter=100))


def _on_hog(task: Task, side: int, over: int) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    last = LogisticRegression(C=10.0, max_iter=100) if task == "classes" else Ridge(0.1)
    return make_pipeline(FunctionTransformer(lambda rows: hog(rows.reshape(-1, side, side))), last)


def _on_selected(task: Task, side: int, over: int) -> Any:
    from sklearn.feature_selection import SelectFromModel
    from sklearn.linear_model import Lasso, LogisticRegression, Ridge
    from sklearn.svm import LinearSVC

    if task == "classes":
        chosen, last = LinearSVC(C=0.1, penalty="l1", dual=False), LogisticRegression(max_iter=100)
    else:
        chosen, last = Lasso(0.05), Ridge()
    return _scaled(side, _Standardised(SelectFromModel(chosen), last) if task == "numbers" else None)


def _boosted(task: Task, side: int, over: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if task == "classes" else HistGradientBoostingRegressor
    if side:  # enough trees for a picture take minutes; these take seconds
        return kind(learning_rate=0.3, max_iter=20, max_leaf_nodes=15, max_bins=16, early_stopping=False)
    return kind(max_iter=100, early_stopping=False)
