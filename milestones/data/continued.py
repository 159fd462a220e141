"""What nets that continue texts have in common: scores, completions, and pictures for the report."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import UserError
from ..core.interval import Z95
from ..core.score import Score
from ..core.source import Data, Facts, keyed
from ..media import Curve, Listing, Ranking, Text
from ..parts.gpt2 import BytePairs
from ..parts.ngram import log_chances
from ..parts.sampling import filtered, sampled, spelled
from .text import Codec, Part, Windows, codec, codes

ORDER = 6  # of the n-grams beside the net: five characters before the one to be told
COUNTED = 4_000_000  # tokens, the last of the training part, in which n-grams are counted
BLOCK = 1000  # tokens that stand together when the interval is made: neighbours are alike
SHOWN, SAID = 3, 240  # samples in the report, and their tokens
NEXT = 10  # tokens of which it is told how likely each comes next


@torch.inference_mode()
def nats(model: Any, source: Any, most: int = 10**9) -> Float[Tensor, "N T"]:
    """What each token of a sweep costs, in nats: minus the logarithm of the chance that the net gave it."""
    was, found, count = model.training, [], 0
    model.eval()
    for batch in source.sweep(64):
        said = model(batch.token).float()
        cost = F.cross_entropy(said.flatten(0, 1), batch.target.flatten(), reduction="none")
        found.append(cost.view(batch.target.shape).double().cpu())
        if (count := count + len(cost)) >= most:
            break
    model.train(was)
    return torch.cat(found)


def ratio(above: Float[Tensor, "N"], below: Float[Tensor, "N"]) -> tuple[float, float, float]:
    """sum(above) / sum(below) over blocks of a text, with its 95 % interval (delta method over the blocks)."""
    value, n = float(above.sum() / below.sum()), len(above)
    off = float((above - value * below).square().sum()) * n / max(1, n - 1)
    half = Z95 * math.sqrt(off) / float(below.sum())
    return value, max(0.0, value - half), value + half


def blocks(values: Float[Tensor, "N T"]) -> Float[Tensor, "K"]:
    """The sums of neighbouring windows, together about BLOCK tokens."""
    windows, length = values.shape
    block = torch.arange(windows) // max(1, min(BLOCK // length, windows // 10))
    return torch.zeros(int(block[-1]) + 1, dtype=torch.float64).index_add_(0, block, values.double().sum(1))


def character_score(
    cost: Float[Tensor, "N T"], target: Int[Tensor, "N T"], words: Codec, test: Any, note: str
) -> Score:
    """What the tokens of windows, in the order of the test part, cost in nats a character, whatever the tokens are."""
    letters = torch.tensor(words.letters, dtype=torch.float64)[target.cpu()]
    found = ratio(blocks(cost.cpu()), blocks(letters))
    return Score(*found, "nats", "lower", test.name, test.split, int(letters.sum()), note=f"nats a character{note}")


def scores(model: Any, data: Data[Windows]) -> dict[str, Score]:
    """`loss` in nats a character, whatever the tokens are: the cost of the test part over its characters; `perplexity`
    of a token; and `ngram_loss`, that of interpolated n-grams of characters counted in the training part, which shows
    what the net adds to counting. Intervals come from blocks of about 1,000 tokens."""
    words, test = codec(data.facts), data.test
    assert isinstance(test, Part)
    target = torch.cat([batch.target.cpu() for batch in test.sweep(500)])
    windows, length = target.shape
    cost = nats(model, test)
    level, each = data.facts["level"], torch.tensor(words.letters, dtype=torch.float64)[target].mean()
    how = "character by character" if data.facts["characters"] else f"in {level} of {each:.2f} characters"
    scored = {
        "loss": character_score(cost, target, words, test, f", {how}; windows of {length} tokens, one after the other")
    }
    value, low, high = map(math.exp, ratio(blocks(cost), blocks(torch.ones_like(cost))))
    about = (test.name, test.split, scored["loss"].over)
    scored["perplexity"] = Score(value, low, high, "tokens", "lower", *about, note="of a token, of "
                                 f"{len(words):,} kinds; its size depends on what a token is")  # fmt: skip
    found = counted(words, data, windows * length)
    note = f"beside the net: interpolated {ORDER}-grams of characters (Witten & Bell), counted in the training part"
    scored["ngram_loss"] = Score(*found, "nats", "lower", *about, note=note)
    return scored


def counted(words: Codec, data: Data[Windows], most: int) -> tuple[float, float, float]:
    """The nats a character that n-grams need for the test part, and their interval."""
    learned = codes(words.decode(data.train.tokens[-COUNTED:].tolist()))  # type: ignore[attr-defined]
    told = codes(words.decode(data.test.tokens[1 : most + 1].tolist()))  # type: ignore[attr-defined]
    kinds, both = np.unique(np.concatenate([learned, told]), return_inverse=True)
    cost = -torch.from_numpy(log_chances(both[: len(learned)], both[len(learned) :], len(kinds), ORDER))
    block = torch.arange(len(cost)) // max(1, min(BLOCK, len(cost) // 10))
    sums = torch.zeros(2, int(block[-1]) + 1, dtype=torch.float64)
    sums[0].index_add_(0, block, cost)
    sums[1].index_add_(0, block, torch.ones_like(cost))
    return ratio(sums[0], sums[1])


def answers(model: Any, facts: Facts, texts: Sequence[Text], length: int, temperature: float, top_k: int, top_p: float,
            seed: int, samples: int, who: str, context: int) -> list[dict[str, Any]]:  # fmt: skip
    """Each text continued by `length` tokens, made as they are asked for; further samples after it. The net holds
    `context` tokens (0: any number). What is drawn depends on `seed` and the text alone. The last entry says what may
    come next. UserError: an option out of its range, or an unknown character."""
    wrong = [
        (length < 1, "--length from 1", str(length)),
        (not 0 <= temperature < math.inf, "--temperature from 0", f"{temperature:g}"),
        (top_k < 0, "--top-k from 0", str(top_k)), (not 0 < top_p <= 1, "--top-p above 0 to 1", f"{top_p:g}"),
        (not 1 <= samples <= 100, "--samples from 1 to 100", str(samples)),
    ]  # fmt: skip
    for bad, want, got in wrong:
        if bad:
            raise UserError(want, got, "Leave it out for the page's own", who)
    words, found = codec(facts), []
    device = next(model.parameters()).device
    for text in texts:
        prompt = words.encode(text.text)
        begin = torch.tensor(prompt or [words.begin], device=device)
        answer: dict[str, Any] = {}
        for number in range(samples):
            rng = keyed("sample", seed, number, text.text)
            tokens = sampled(model, begin, length, temperature, top_k, top_p, rng, context)
            ended = itertools.takewhile(lambda token: token != words.end, tokens)
            flowing = flow(text.text, spelled(ended, words.spell))
            answer[f"sample {number + 1}" if number else "answer"] = Text(flowing)
        if 0 < context < len(prompt):
            told = f"the last {context:,} of its {len(prompt):,} tokens were read: more the net does not hold"
            answer["prompt"] = Text(told)
        answer["next"] = likeliest(model, words, begin[-context:])
        found.append(answer)
    return found


def likeliest(model: Any, words: Codec | BytePairs, token: Int[Tensor, "T"]) -> Ranking:
    """Which tokens may come next, and their chances."""
    chance, which = torch.from_numpy(filtered(model.begin(token)[0], 1.0, 0, 1.0)).topk(min(NEXT, len(words)))
    return Ranking.of(chance, [words.shown(one) for one in which.tolist()])


def flow(text: str, pieces: Iterator[str]) -> Iterator[str]:
    """A text, then what comes after it."""
    yield text
    yield from pieces


def shown(model: Any, data: Data[Windows], context: int) -> dict[str, Any]:
    """Pictures for a report: samples, and what each token costs by its place in the window."""
    words, valid = codec(data.facts), data.valid
    cost = nats(model, valid, 2000).mean(0)
    place = [k for k in range(len(cost)) if k < 16 or k % max(1, len(cost) // 64) == 0]
    line = {"validation": cost[place].tolist()}
    curve = Curve([k + 1 for k in place], line, "tokens of context", "nats a token", logx=True)
    device, rows, was = next(model.parameters()).device, [], model.training
    model.eval()
    for number in range(SHOWN):
        begin = torch.tensor([words.begin], device=device)
        said = sampled(model, begin, SAID, 0.8, 0, 1.0, keyed("shown", number), context)
        rows.append((number + 1, words.decode(said)))
    model.train(was)
    return {"samples": Listing(("sample", "said after a line's end, at temperature 0.8"), rows), "context": curve}
