"""Made recordings of brain signals: rhythms over the cortex that fade while a movement is imagined, in noise. What was
put in is known, so that what a net finds can be held against it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..core.source import keyed

RATE_HZ, SECONDS = 250.0, 4.0
CLASSES = ("left hand", "right hand", "feet", "tongue")
# The 22 electrodes of competition set IV 2a: name -> (right, front), in steps of the 10-20 grid from Cz.
PLACES = {
    "Fz": (0, 2), "FC3": (-2, 1), "FC1": (-1, 1), "FCz": (0, 1), "FC2": (1, 1), "FC4": (2, 1), "C5": (-3, 0),
    "C3": (-2, 0), "C1": (-1, 0), "Cz": (0, 0), "C2": (1, 0), "C4": (2, 0), "C6": (3, 0), "CP3": (-2, -1),
    "CP1": (-1, -1), "CPz": (0, -1), "CP2": (1, -1), "CP4": (2, -1), "P1": (-1, -2), "Pz": (0, -2), "P2": (1, -2),
    "POz": (0, -3),
}  # fmt: skip
ELECTRODES = tuple(PLACES)
AREAS = ((2.0, 0.0), (-2.0, 0.0), (0.0, 0.2), (-3.0, -0.6))  # where each class fades: the hands crosswise, feet, tongue
REST = (0.0, -2.8)  # a rhythm that fades for no class: that of closed eyes


class Subject(NamedTuple):
    """One head: what of it shows in a recording."""

    mu_hz: float  # of the sensory rhythm; a weaker one has twice the frequency
    fading: float  # share of its amplitude that is lost
    area: Float[Tensor, "K 2"]  # where it fades for each class
    eyes_hz: float


def subject(number: int) -> Subject:
    """The head of this number: rhythms of 9 to 13 Hz, areas shifted by up to a third of a step."""
    rng = keyed("head", number)
    mu, fading, eyes = torch.rand(3, generator=rng).tolist()
    shift = 0.35 * (2 * torch.rand(len(AREAS), 2, generator=rng) - 1)
    return Subject(9 + 4 * mu, 0.6 + 0.25 * fading, torch.tensor(AREAS) + shift, 8.5 + 3 * eyes)


def spread_over(places: Float[Tensor, "S 2"], wide: float = 1.0) -> Float[Tensor, "S C"]:
    """How strongly sources at these places show at each electrode: bells over the grid, 1 right above."""
    grid = torch.tensor(list(PLACES.values()), dtype=torch.float32)
    return torch.exp(-((places[:, None] - grid) ** 2).sum(-1) / (2 * wide**2))


def coloured(shape: tuple[int, ...], gain: Float[Tensor, "F"], rng: torch.Generator) -> Tensor:
    """Gaussian noise along the last dimension with this gain at each frequency, of variance 1."""
    wave = torch.fft.irfft(torch.fft.rfft(torch.randn(shape, generator=rng)) * gain, shape[-1])
    return wave / wave.std().clamp(min=1e-9)


def made(head: Subject, label: Int[Tensor, "N"], rng: torch.Generator, session: int) -> Float[Tensor, "N C T"]:
    """Trials of four seconds after the cue, in microvolt. While one is imagined the rhythms of its area fade from half
    a second after the cue to half a second before the end (event-related desynchronisation, Pfurtscheller & Lopes da
    Silva 1999), more or less in each trial. In a later session areas are shifted a little and there is more noise."""
    n, time = len(label), round(RATE_HZ * SECONDS)
    hz = torch.fft.rfftfreq(time, 1 / RATE_HZ)
    pink = 1 / hz.clamp(min=1.0) ** 0.5
    where = head.area + session * 0.1 * torch.randn(head.area.shape, generator=rng)
    k = len(CLASSES)
    rhythm = torch.zeros(n, k, time)
    for strength, f in ((1.0, head.mu_hz), (0.5, 2 * head.mu_hz)):
        rhythm += strength * coloured((n, k, time), torch.exp(-((hz - f) ** 2) / 2), rng)
    second = torch.arange(time) / RATE_HZ
    shape = ((second - 0.5) / 0.5).clamp(0, 1) * ((SECONDS - 0.25 - second) / 0.5).clamp(0, 1)
    lost = head.fading * (0.5 + 0.5 * torch.rand(n, 1, 1, generator=rng)) * shape
    own = torch.nn.functional.one_hot(label, k)[:, :, None]
    rhythm = rhythm * (1 - own * lost) * (1 + 0.15 * torch.randn(n, k, 1, generator=rng)).clamp(0.3, 2)
    eyes = coloured((n, 1, time), torch.exp(-((hz - head.eyes_hz) ** 2) / 2), rng)
    eyes = eyes * (1 + 0.5 * torch.randn(n, 1, 1, generator=rng)).clamp(0.2, 3)
    far = 4 * torch.rand(12, 2, generator=rng) * torch.tensor([2.0, 1.5]) - torch.tensor([4.0, 3.5])
    ground = coloured((n, 12, time), pink, rng)
    signal = torch.einsum("nst,sc->nct", rhythm, 9.0 * spread_over(where))
    signal += torch.einsum("nst,sc->nct", eyes, 6.0 * spread_over(torch.tensor([REST]), 1.5))
    signal += torch.einsum("nst,sc->nct", ground, 5.0 * spread_over(far, 1.5))
    return signal + (2.5 + 0.5 * session) * coloured((n, len(ELECTRODES), time), pink, rng)


def sessions(heads: int, trials: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Signals "N C T" in microvolt, classes, heads and sessions (0 to learn from, 1 to test with) of so many trials a
    session, equally many of each class, in a random order."""
    signals, labels, of, when = [], [], [], []
    for number in range(heads):
        for session in range(2):
            rng = keyed("brain", number, session)
            label = (torch.arange(trials) % len(CLASSES))[torch.randperm(trials, generator=rng)]
            signals.append(made(subject(number), label, rng, session))
            labels.append(label)
            of.append(torch.full((trials,), number))
            when.append(torch.full((trials,), session))
    return torch.cat(signals), torch.cat(labels), torch.cat(of), torch.cat(when)


def truth(heads: int) -> dict[str, Any]:
    """What was put in, for JSON: of each head the rhythms in Hz, and the electrodes above each class's area."""
    found = {}
    for number in range(heads):
        head = subject(number)
        seen = spread_over(head.area)
        names = {
            name: [ELECTRODES[i] for i in row.topk(3).indices.tolist()] for name, row in zip(CLASSES, seen, strict=True)
        }
        found[f"made {number + 1}"] = {"hz": [round(head.mu_hz, 2), round(2 * head.mu_hz, 2)], "electrodes": names}
    return found
