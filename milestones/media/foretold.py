"""What a model said beforehand beside what came, as curves: for pages that imagine how a world goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .records import Curve, Media, Surface

MOST = 4  # numbers of an observation that get a picture of their own


@torch.no_grad()
def foretold(paths: Float[Tensor, "T P N D"], true: Float[Tensor, "T N D"], there: Bool[Tensor, "T N"],
             spread: Float[Tensor, "D"]) -> dict[str, Media]:  # fmt: skip
    """`drift`: how far the mean of P imagined paths of N episodes is off what came, and how far the paths are apart
    from each other, root mean square in spreads, over the steps ahead, of the episodes that were still `there`; and the
    first episode's paths, number by number, as long as it went on."""
    count = there.sum(1)
    ahead = [t + 1 for t in range(len(true)) if count[t]]

    def over(square: Float[Tensor, "T N D"]) -> list[float]:
        mean = (square / spread.square()).mean(-1) * there
        return [float(mean[t - 1].sum() / count[t - 1]) ** 0.5 for t in ahead]

    lines = {"error": over((paths.mean(1) - true).square()), "how far the paths are apart": over(paths.var(1, False))}
    pictures: dict[str, Media] = {"drift": Curve(ahead, lines, "steps ahead", "of the spread of what was seen")}
    long = int(there[:, 0].sum())
    for k in range(min(MOST, true.shape[-1])):
        first = paths[:long, :, 0, k]
        parts = {"real": true[:long, 0, k], "imagined, mean": first.mean(1), "lowest path": first.amin(1),
                 "highest path": first.amax(1)}  # fmt: skip
        lines = {name: line.tolist() for name, line in parts.items()}
        pictures[f"imagined_{k + 1}"] = Curve(ahead[:long], lines, "steps ahead", f"number {k + 1} of the observation")
    return pictures


@torch.no_grad()
def over_plane(value: Callable[[Tensor], Tensor], mean: Float[Tensor, "D"], spread: Float[Tensor, "D"],
               ways: Mapping[str, Float[Tensor, "T D"]], side: int = 40) -> dict[str, Media]:  # fmt: skip
    """`unsure`: what `value` makes of observations "N D", over the plane of their last two numbers, to four spreads
    from the mean, where the others stay; and ways that were gone there. Nothing of observations of one number."""
    if len(mean) < 2:
        return {}
    line = torch.linspace(-4, 4, side, device=mean.device)
    plane = torch.zeros(side, side, len(mean), device=mean.device)
    plane[..., -2], plane[..., -1] = line, line[:, None]
    at = (mean + spread * plane).flatten(0, 1)
    x, y = at[[0, -1], -2].tolist(), at[[0, -1], -1].tolist()
    paths = {name: [(float(a), float(b)) for a, b in way[:, -2:].tolist()] for name, way in ways.items()}
    names = [f"number {len(mean) - k} of the observation" for k in (1, 0)]
    values = value(at).view(side, side).cpu().double().numpy()
    return {"unsure": Surface(values, (x[0], x[1], y[0], y[1]), paths, {}, *names)}
