"""Connectionist temporal classification (Graves, Fernandez, Gomez & Schmidhuber 2006): loss, reading, alignment.

Class 0 is the blank. Texts are classes "B L", padded with 0. Where lines differ in their number of frames, `frames`
says how many of each count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from .recurrent import inside


class Reading(NamedTuple):
    """What was read, and where."""

    text: Int[Tensor, "B T"]  # classes, then zeros
    length: Int[Tensor, "B"]
    frame: Int[Tensor, "B T"]  # of each sign: where its chance is first the largest


def ctc_loss(logits: Float[Tensor, "B T K"], text: Int[Tensor, "B L"], length: Int[Tensor, "B"],
             reduction: str = "mean", frames: Int[Tensor, "B"] | None = None) -> Tensor:  # fmt: skip
    """Minus the log-probability of the texts over all alignments, in nats (equation 8): the mean of a line, divided by
    the number of its signs; with "none" the sum for each line, "B"."""
    chance = logits.float().log_softmax(-1).transpose(0, 1)  # T B K
    frames = torch.full_like(length, len(chance)) if frames is None else frames
    return F.ctc_loss(chance, text, frames, length, 0, reduction, zero_infinity=True)


def greedy(logits: Float[Tensor, "B T K"], frames: Int[Tensor, "B"] | None = None) -> Reading:
    """The likeliest path, repetitions and blanks removed (equation 4)."""
    path = logits.argmax(-1)
    if frames is not None:
        path = path.where(inside(frames, path.shape[1]), 0)
    before = F.pad(path, (1, 0))[:, :-1]
    kept = (path != 0) & (path != before)
    place = torch.where(kept, kept.cumsum(1) - 1, path.shape[1])  # the rest goes into one more column, then dropped
    empty = path.new_zeros(len(path), path.shape[1] + 1)
    time = torch.arange(path.shape[1], device=path.device).expand_as(path)
    return Reading(empty.scatter(1, place, path)[:, :-1], kept.sum(1), empty.scatter(1, place, time)[:, :-1])


def wrong(read: Int[Tensor, "B T"], read_length: Int[Tensor, "B"], text: Int[Tensor, "B L"], length: Int[Tensor, "B"]
          ) -> Tensor:  # fmt: skip
    """True for each line that was not read exactly, "B"."""
    wide = text.shape[1]
    read = F.pad(read[:, :wide], (0, max(0, wide - read.shape[1])))
    return (read_length != length) | (read != text).any(1)


def needed(text: Int[Tensor, "B L"], length: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
    """The fewest frames in which each text fits: one a sign, and one between two equal ones."""
    pairs = torch.arange(1, text.shape[1], device=text.device) < length[:, None]
    return length + ((text[:, 1:] == text[:, :-1]) & pairs).sum(1)


def flat_start(logits: Float[Tensor, "B T K"], text: Int[Tensor, "B L"], length: Int[Tensor, "B"],
               frames: Int[Tensor, "B"]) -> Tensor:  # fmt: skip
    """The cross-entropy, in nats a frame, of letters that lie evenly along each line: wrong in the places, but a net
    that begins so has letters to align, where under CTC alone all drowns in blanks at first. (Recognisers of hidden
    Markov models begin so, too: Young et al. 2006, The HTK book.)"""
    time = torch.arange(logits.shape[1], device=logits.device)
    at = (time * length[:, None] // frames[:, None].clamp(min=1)).clamp(max=text.shape[1] - 1)  # B T
    target = text.gather(1, at).masked_fill((time >= frames[:, None]) | (length == 0)[:, None], -100)
    return F.cross_entropy(logits.float().flatten(0, 1), target.flatten())


class Heard(NamedTuple):
    """A text that a beam search found."""

    text: tuple[int, ...]
    score: float  # log-chance over its alignments, with what the language model and the length add
    chance: float  # log-chance over its alignments alone, in nats; a lower bound where the beam was narrow


Follow = Callable[[tuple[int, ...]], Sequence[float]]


def beam_search(logits: Float[Tensor, "T K"], beam: int = 8, follow: Follow | None = None, language: float = 0.0,
                bonus: float = 0.0, least: float = 1e-3, most: int = 12) -> list[Heard]:  # fmt: skip
    """The best texts of one line, best first: prefix search (Graves 2006, section 3.2) with a beam, every prefix summed
    over its alignments, as Hannun et al. (2014) have it.

    `follow(text)` gives log-chances of each class after a text, that of its end at 0; they count `language` times, and
    `bonus` is added for each sign. In a frame only the `most` likeliest classes of a chance of `least` are tried.
    """
    minus, followed = -math.inf, follow if language else None
    chances = logits.float().log_softmax(-1)
    top = chances[:, 1:].topk(min(most, chances.shape[1] - 1))
    floor = math.log(least) if least else minus
    prior: dict[tuple[int, ...], float] = {(): 0.0}  # of a text: what language and length add to its score
    alive: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, minus)}  # ending in a blank, in its last sign
    for row, values, classes in zip(chances.tolist(), top.values.tolist(), top.indices.tolist(), strict=True):
        tried = [(k + 1, value) for k, value in zip(classes, values, strict=True) if value >= floor]
        silent = row[0]
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for text, (blank, sign) in alive.items():
            both, last = _added(blank, sign), text[-1] if text else 0
            old = grown.get(text, (minus, minus))
            stays = _added(old[1], sign + row[last]) if last else old[1]
            grown[text] = (_added(old[0], both + silent), stays)
            after = followed(text) if followed and tried else None
            for k, value in tried:
                ahead = blank if k == last else both  # two equal signs have a blank between them
                if ahead == minus:
                    continue
                longer = (*text, k)
                if longer not in prior:
                    prior[longer] = prior[text] + bonus + (language * after[k] if after else 0.0)
                old = grown.get(longer)
                grown[longer] = (old[0], _added(old[1], ahead + value)) if old else (minus, ahead + value)
        if len(grown) > beam:
            score = {text: _added(*ends) + prior[text] for text, ends in grown.items()}
            grown = {text: grown[text] for text in sorted(score, key=score.__getitem__, reverse=True)[:beam]}
        alive = grown
    found = []
    for text, ends in alive.items():
        chance = _added(*ends)
        found.append(Heard(text, chance + prior[text] + (language * followed(text)[0] if followed else 0.0), chance))
    return sorted(found, key=lambda one: -one.score)


def _added(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


def aligned(logits: Float[Tensor, "T K"], text: Sequence[int]) -> list[int] | None:
    """For each frame which sign of `text` it belongs to, 0 for the first, or -1 where it is a blank: the likeliest
    alignment (Viterbi). None where the text does not fit into the frames."""
    chances = logits.float().log_softmax(-1)
    states = torch.zeros(2 * len(text) + 1, dtype=torch.long)
    states[1::2] = torch.tensor([*text], dtype=torch.long)
    skips = torch.zeros(len(states), dtype=torch.bool)
    skips[2:] = (states[2:] != 0) & (states[2:] != states[:-2])  # over a blank, between different signs
    here = chances.new_full((len(states),), -math.inf)
    here[:2] = chances[0, states[:2]]
    came = []
    for row in chances[1:]:
        one = F.pad(here, (1, 0), value=-math.inf)[:-1]
        two = F.pad(here, (2, 0), value=-math.inf)[: len(here)].where(skips, -math.inf)
        here, step = torch.stack([here, one, two]).max(0)
        here = here + row[states]
        came.append(step)
    ends = here[-2:] if len(text) else here[-1:]
    if not torch.isfinite(ends).any():
        return None
    at = len(states) - len(ends) + int(ends.argmax())
    path = [at]
    for step in reversed(came):
        at -= int(step[at])
        path.append(at)
    return [state // 2 if state % 2 else -1 for state in reversed(path)]
