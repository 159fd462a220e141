"""Starting weights of linear and convolutional layers. All draw from the global generator and set biases to 0."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def _weighted(model: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """The linear and convolutional layers, their biases set to 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            yield layer


def glorot(model: nn.Module) -> None:
    """Uniform with variance 2 / (fan in + fan out): tanh units keep their spread, and gradients theirs on the way back
    (Glorot & Bengio 2010, equation 16)."""
    for layer in _weighted(model):
        nn.init.xavier_uniform_(layer.weight)


def he(model: nn.Module, scale: float = 1.0) -> None:
    """Normal with variance 2 / fan in: rectified units keep their mean square (He et al. 2015, equation 10). `scale`
    multiplies the weights."""
    for layer in _weighted(model):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        with torch.no_grad():
            layer.weight.mul_(scale)


def orthogonal(model: nn.Module, gain: float = 1.0) -> None:
    """Each layer's weights W as a matrix, one row a unit, are a random one with orthonormal rows, or columns where it
    is higher than wide, times `gain`: W W' = gain^2 I (Saxe, McClelland & Ganguli 2014)."""
    for layer in _weighted(model):
        nn.init.orthogonal_(layer.weight, gain)


@torch.no_grad()
def lsuv(model: nn.Module, input: Tensor) -> None:
    """Layer-sequential unit variance (Mishkin & Matas 2016): orthonormal weights, then from the first layer to the last
    each is divided by the standard deviation of what it puts out for `input`, a batch as the model takes it.

    A layer that is called twice is scaled once. One that puts out a constant is left as it is.
    """
    orthogonal(model)
    done: set[nn.Module] = set()

    def scale(layer: nn.Module, _: object, output: Tensor) -> Tensor:
        if layer in done:
            return output
        done.add(layer)
        spread = output.float().std()
        spread = torch.where(spread > 0, spread, torch.ones_like(spread))
        layer.get_parameter("weight").div_(spread)
        return output / spread  # what it puts out now, as its bias is 0: the paper's iteration ends after one round

    hooks = [layer.register_forward_hook(scale) for layer in _weighted(model)]
    try:
        model(input)
    finally:
        for hook in hooks:
            hook.remove()
