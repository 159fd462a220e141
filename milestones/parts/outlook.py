"""When a curve that falls will reach a level, if it goes on as a power of the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

FEWEST = 3  # points that say anything
FAR = 30.0  # times what was done so far: nobody knows what is beyond


def reaching(curve: Sequence[tuple[float, float]], levels: Sequence[float], now: float) -> dict[str, float]:
    """Steps that are left until the value of (step, value) falls to each level that it is above, as `to_3` for a level
    of 3. A line is laid through the later two thirds of the points, both axes logarithmic; levels that it does not
    reach, or only far from here, are left out."""
    points = np.array([(step, value) for step, value in curve if step > 0 and value > 0], np.float64).reshape(-1, 2)
    points = points[len(points) // 3 :]
    if len(points) < FEWEST:
        return {}
    step, value = np.log(points).T
    slope = float(((step - step.mean()) * (value - value.mean())).sum() / ((step - step.mean()) ** 2).sum())
    if slope >= -1e-3:
        return {}
    found = {}
    for level in levels:
        far = step.mean() + (math.log(level) - value.mean()) / slope
        if curve[-1][1] > level and math.log(now) < far < math.log(FAR * now):
            found[f"to_{level:g}"] = math.exp(far) - now
    return found
