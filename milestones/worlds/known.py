"""Rewards that are written down, for planners that need not learn them: of an observation and the raw action."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def pendulum(observation: Float[Tensor, "*B 3"], action: Float[Tensor, "*B 1"]) -> Float[Tensor, "*B"]:
    """What Gymnasium's pendulum pays before it moves: nothing where it stands upright, still and untouched."""
    angle = torch.atan2(observation[..., 1], observation[..., 0])
    return -(angle.square() + 0.1 * observation[..., 2].square() + 0.001 * action[..., 0].square())


REWARDS = {"Pendulum-v1": pendulum}  # by Gymnasium's id
