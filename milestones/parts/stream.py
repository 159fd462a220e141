"""Hearing while someone speaks: sound comes in pieces, and what is said of it is what would be said of the whole."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from .mel import Heard, LogMel, running
from .recurrent import LSTM, Memory


class Hearing(Protocol):
    """A net that hears forwards only: frames less their running mean, convolutions that look `reach` frames to both
    sides and answer for each `stride` of them, an LSTM, log-odds."""

    ears: LogMel
    memory: LSTM
    classifier: nn.Linear
    reach: int
    stride: int

    def features(self, samples: Tensor, /) -> Tensor: ...
    def convolved(self, x: Tensor, frames: Tensor, /) -> Tensor: ...


class Stream:
    """One recording, heard piece by piece. It keeps the last few frames and the LSTM's memory, however long it goes
    on."""

    def __init__(self, net: Hearing) -> None:
        assert not net.memory.both, "a net that hears backwards needs the end"
        self.net = net
        self.samples, self.frames = torch.zeros(0), torch.zeros(0, net.ears.bank.shape[1])
        self.memory: Memory | None = None
        self.heard: Heard | None = None
        self.begin = self.given = 0  # number of the first frame that is kept; answers given

    @torch.inference_mode()
    def hear(self, piece: Shaped[Tensor, "S"], last: bool = False) -> Float[Tensor, "T K"]:
        """The answers that are certain after this piece; all that are left, if it is the last."""
        net, ears = self.net, self.net.ears
        self.samples = torch.cat([self.samples, piece.float()])
        whole = max(0, (len(self.samples) - ears.window) // ears.hop + 1)
        ready = -(-len(self.samples) // ears.hop) if last else whole
        if ready:
            fresh, self.heard = running(net.features(self.samples[None])[:, :ready], self.heard)
            self.frames = torch.cat([self.frames, fresh[0]])
            self.samples = self.samples[ready * ears.hop :]
        known = self.begin + len(self.frames)
        until = -(-known // net.stride) if last else (known - 1 - net.reach) // net.stride + 1
        if until <= self.given:
            return torch.zeros(0, net.classifier.out_features)
        x = net.convolved(self.frames[None], torch.tensor([len(self.frames)]))
        first = self.given - self.begin // net.stride
        x, self.memory = net.memory.stream(x[:, first : first + until - self.given], self.memory)
        self.given = until
        begin = max(0, until - -(-net.reach // net.stride)) * net.stride  # what the next answers look back at
        self.frames, self.begin = self.frames[begin - self.begin :], begin
        return net.classifier(x)[0]


def latency_ms(net: Hearing, rate_hz: int) -> float:
    """How long after the sound of an answer's frame it is certain: by the window, by what the convolutions look ahead,
    and by waiting for the last of `stride` frames. The piece that the sound comes in and the computing come on top."""
    return 1000 * (net.ears.window + net.ears.hop * (net.reach + net.stride - 1)) / rate_hz
