"""What pages share that give pictures a chance: bits drawn anew for training, scores with their terms, how strange a
picture is among those that are usual, and sheets of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..core.errors import UserError
from ..core.score import Score, mean_score
from ..media import Image, Media, Number, Text, mosaic
from ..parts.likelihood import Terms, atypical, bits_per_dimension, drawn, percentile
from . import Labelled

QUANTILES = 201  # of the validation pictures' likelihoods, which a model keeps
MOST = 400  # pictures drawn at once
PARTS = 50  # pictures whose likelihood is measured at once


def bits_anew(batch: Labelled, generator: torch.Generator) -> Labelled:
    """A batch for training on binary pixels: each drawn anew by its level."""
    return Labelled(drawn(batch.image, generator), batch.label)


@torch.no_grad()
def likelihoods(model: torch.nn.Module, nats: Callable[[Tensor], Tensor], source: Any, most: int = 0) -> Tensor:
    """-log p of each picture of `source`, or of its first `most`, as `nats` measures it of uint8 pictures: "N"."""
    was, found, over = model.training, [], 0
    model.eval()
    for batch in source.sweep(PARTS):
        found.append(nats(batch.image).float())
        over += len(batch.image)
        if most and over >= most:
            break
    model.train(was)
    return torch.cat(found)


def scored(nats: Tensor, source: Any, terms: Terms, dimensions: int, **published: Any) -> dict[str, Score]:
    """`nll` in nats a picture of binary pixels, or `bpd` of 8-bit ones, with the terms as its note."""
    if terms.pixels == "binary":
        return {"nll": mean_score(nats, "nats", source, note=str(terms), **published)}
    return {"bpd": mean_score(bits_per_dimension(nats, dimensions), "bits", source, note=f"a pixel; {terms}")}


def quantiles(nats: Float[Tensor, "N"]) -> Float[Tensor, "Q"]:
    """QUANTILES of the likelihoods of usual pictures, from the likeliest to the least likely."""
    return nats.float().quantile(torch.linspace(0, 1, QUANTILES, device=nats.device))


def verdict(nats: Float[Tensor, "B"], usual: Float[Tensor, "Q"], terms: Terms) -> list[dict[str, Media]]:
    """How strange each picture is: less likely than so many percent of the validation pictures, and farther from the
    middle of their likelihoods than so many; a plain picture may be too likely."""
    less, farther = percentile(nats, usual), percentile(atypical(nats, usual), atypical(usual, usual))
    return [
        {
            "answer": Text(f"{far:.0f} % of the validation pictures are more usual: this one is "
                           f"{'less likely' if value > float(usual.median()) else 'likelier'} than the middle one"),
            "nll": Number(round(value, 3), f"nats ({terms})"),
            "strange": Number(round(low, 1), "% of the validation pictures are likelier"),
            "atypical": Number(round(far, 1), "% of them are nearer to the middle likelihood"),
        }
        for value, low, far in zip(nats.tolist(), less.tolist(), farther.tolist(), strict=True)
    ]  # fmt: skip


def asked(samples: int, temperature: float, who: str) -> None:
    """UserError: more pictures than can be drawn at once, or no temperature."""
    if not 0 <= samples <= MOST:
        raise UserError(f"from 0 to {MOST} pictures to draw", str(samples), "Ask again with another seed", who)
    if not 0 <= temperature <= 10:
        raise UserError("a temperature from 0 to 10", f"{temperature:g}", "1 draws as the model learned", who)


def sheet(levels: Float[Tensor, "N H W"], columns: int = 0) -> Image:
    """Pictures of levels 0 to 255 side by side."""
    return mosaic([Image.of(one[None]) for one in levels], columns=columns)
