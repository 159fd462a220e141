"""Error rates and their kin."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def error_rate(logits: Float[Tensor, "B K"], label: Int[Tensor, "B"]) -> Float[Tensor, ""]:
    """Percent of rows whose largest logit is not at `label`."""
    return 100 * (logits.argmax(-1) != label).float().mean()
