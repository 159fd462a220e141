"""Which rhythms a net listens to: at which channel, at which frequency."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def rises(scores: Callable[[Tensor], Tensor], signal: Float[Tensor, "B C T"], classes: int) -> Float[Tensor, "K C F"]:
    """How much each class's score rises for each frequency of each channel that is made stronger, by its relative
    strength, mean over the batch: d score(x + e x_f) / d e at e = 0, x_f the part of x with frequency f. Summed over
    all frequencies it is gradient times input. Frequencies are those of rfft.

    The slope of the perturbations of amplitude that Schirrmeister et al. 2017 (section 2.6.2) correlate with scores.
    """
    with torch.enable_grad():
        x = signal.detach().clone().requires_grad_()
        total = scores(x).sum(0)
        slopes = [torch.autograd.grad(total[k], x, retain_graph=k < classes - 1)[0] for k in range(classes)]
    time = signal.shape[-1]
    each = torch.full((time // 2 + 1,), 2.0 / time)
    each[0] = 1.0 / time
    if time % 2 == 0:
        each[-1] = 1.0 / time
    spectrum = torch.fft.rfft(signal)
    return torch.stack([(torch.fft.rfft(slope).conj() * spectrum).real.mean(0) * each for slope in slopes])
