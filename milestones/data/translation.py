"""What pages that translate have in common: their scores by sacreBLEU, their answers, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import UserError, nearest
from ..core.score import Score, wilson
from ..core.source import Data, Facts
from ..media import Heat, Listing, Text
from ..parts.beam import Hypothesis
from ..parts.bpe import BEGIN, Vocabulary, pieces
from ..parts.ibm1 import WordByWord
from ..parts.seq2seq import Translates, translated
from .pairs import Pairs, tokens, vocabulary

WANTED = 'bleu and chrf are measured with the extra text: pip install "milestones[text]"'
RESAMPLED = 300  # test sets drawn from the test set, for the interval of BLEU and chrF


def listed(source: Any, most: int = 10**9) -> tuple[list[list[int]], list[list[int]]]:
    """The first sources and targets of a set of pairs, as lists of tokens."""
    sources, targets = [], []
    for batch in source.sweep(500):
        rows = zip(*(field.tolist() for field in batch), strict=True)
        for one, length, two, other in rows:
            sources.append(one[:length])
            targets.append(two[:other])
        if len(sources) >= most:
            break
    return sources[:most], targets[:most]


def said(model: Any, sources: Sequence[Sequence[int]], width: int, penalty: float) -> list[list[Hypothesis]]:
    """The translations of sources by a net in evaluation mode, best first."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    found = translated(model, sources, device, width, penalty)
    model.train(was)
    return found


def scores(model: Translates, data: Data[Pairs], width: int, penalty: float) -> dict[str, Score]:
    """`bleu` and `chrf` by sacreBLEU, its signature in the note, each with a bootstrap interval; and `exact`, the
    percent of test sentences that are translated word for word as the reference has it. Without the extra `text` the
    last alone."""
    words, test = vocabulary(data.facts), data.test
    sources, targets = listed(test)
    guesses = [words.decode(those[0].tokens) for those in said(model, sources, width, penalty)]
    return measured(guesses, [words.decode(target) for target in targets], test, f"beam {width}, penalty {penalty:g}")


def measured(guesses: Sequence[str], truth: Sequence[str], test: Any, how: str, name: str = "") -> dict[str, Score]:
    """The scores of translations against one reference each, as `scores` names them, with `name` before."""
    right, over = sum(a == b for a, b in zip(guesses, truth, strict=True)), len(truth)

    def percent(value: float, low: float, high: float, note: str) -> Score:
        return Score(value, low, high, "%", "higher", test.name, test.split, over, note=note)

    exact = percent(100 * right / over, *wilson(right, over), f"sentences equal to the reference; {how}")
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        return {f"{name}exact": percent(exact.value, exact.low, exact.high, f"{exact.note}; {WANTED}")}
    found = {}
    for key, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        whole = metric.corpus_score(list(guesses), [list(truth)])
        if key == "bleu" and not whole.totals[-1]:
            continue  # no sentence has the four words that it counts: 0 would say nothing
        value = float(whole.score)
        note = f"{how}; {metric.get_signature()}"
        low, high = resampled(metric, guesses, truth)
        found[name + key] = percent(value, min(low, value), max(high, value), note)
    return {**found, f"{name}exact": exact}


def word_by_word(data: Data[Pairs]) -> dict[str, Score]:
    """The scores of a table of words and the target's trigrams (parts/ibm1.py), learned from the same pairs:
    `ibm1_bleu` and so on. Where there are several languages, one table for each."""
    words = vocabulary(data.facts)

    def spelled(source: Any) -> list[tuple[int, list[str], list[str]]]:
        found = []
        for one, two in zip(*listed(source), strict=True):
            language = one[0] if words.marks else 0
            found.append((language, pieces(words.decode(one)), pieces(words.decode(two))))
        return found

    train, test = spelled(data.train), spelled(data.test)
    guesses = [""] * len(test)
    for language in {one[0] for one in test}:
        mine = [one for one in train if one[0] == language]
        number = [
            {p: k for k, p in enumerate(dict.fromkeys(p for one in mine for p in one[side]), 1)} for side in (1, 2)
        ]
        sides = [[[number[k][p] for p in one[k + 1]] for one in mine] for k in (0, 1)]
        model, back = WordByWord(*sides, len(number[1])), {k: p for p, k in number[1].items()}
        for k, (code, source, _) in enumerate(test):
            if code == language:
                said = model.translate([number[0][p] for p in source if p in number[0]])
                guesses[k] = "".join(back[w] for w in said).removeprefix(" ")
    truth = ["".join(one[2]).removeprefix(" ") for one in test]
    return measured(guesses, truth, data.test, "a table of words (IBM model 1) and trigrams", "ibm1_")


def resampled(metric: Any, guesses: Sequence[str], truth: Sequence[str]) -> tuple[float, float]:
    """The 95 % interval of a metric of sacreBLEU over sets of as many sentences, drawn with replacement."""
    drawn = metric.corpus_score(list(guesses), [list(truth)], n_bootstrap=RESAMPLED)
    middle, half = float(drawn._mean), float(drawn._ci)
    return max(0.0, middle - half), min(100.0, middle + half)


def source_of(facts: Facts, words: Vocabulary, text: str, to: str, who: str) -> list[int]:
    """The tokens of a text to translate. UserError: an empty text, or one that is too long."""
    if not text.strip():
        raise UserError("a sentence to translate", "an empty one", "Write some words", who)
    found = tokens(words, " ".join(text.split()), to)
    if len(found) > facts["longest"]:
        got = f"one of {len(text.split()):,} words and {len(found):,} tokens, {text[:40]!r}"
        raise UserError(f"a sentence of at most {facts['longest']} tokens", got, "Give one sentence a line", who)
    return found


def answers(model: Any, facts: Facts, texts: Sequence[Text], to: str, beam: int, nbest: int, penalty: float,
            who: str) -> list[dict[str, Any]]:  # fmt: skip
    """For each text its translation; where it looked for each token; other hypotheses (with `nbest`), and what it says
    in each language (with no `to`, where there are several). UserError: no such language, or a text too long."""
    words, languages = vocabulary(facts), list(facts["languages"]) or [facts["to"]]
    if to and to not in languages:
        want = f"--to as one of {', '.join(languages)}" if languages[0] else "no --to, since the data named no language"
        raise UserError(want, repr(to), nearest(to, languages, "Take one that the run has learned"), who)
    if not 1 <= nbest <= beam <= 100:
        raise UserError("1 <= nbest <= beam <= 100", f"nbest {nbest}, beam {beam}", "Keep as many as you ask for", who)
    codes = [to] if to else languages
    sources = [source_of(facts, words, text.text, code, who) for text in texts for code in codes]
    found = said(model, sources, beam, penalty)
    out = []
    for k in range(0, len(sources), len(codes)):
        best, *_ = those = found[k]
        answer: dict[str, Any] = {"answer": Text(words.decode(best.tokens))}
        if len(codes) > 1:
            rows = [(code, words.decode(found[k + j][0].tokens)) for j, code in enumerate(codes)]
            answer["in each language (--to)"] = Listing(("language", "translation"), rows)
        if nbest > 1:
            rows = [(words.decode(one.tokens), round(one.score, 3)) for one in those[:nbest]]
            answer["hypotheses"] = Listing(("translation", "log-probability, length-penalised"), rows)
        picture = looked(model, words, sources[k], best.tokens)
        out.append({**answer, **({"attention": picture} if picture else {})})
    return out


@torch.no_grad()
def looked(model: Any, words: Vocabulary, source: Sequence[int], target: Sequence[int]) -> Heat | None:
    """Where the net looks in the source as it says each token of the target; None if it does not look."""
    device = next(model.parameters()).device
    was = model.training
    model.eval()
    before = torch.tensor([[BEGIN, *target]], device=device)
    length = torch.tensor([len(source)], device=device)
    weights: Tensor | None = model.attention(torch.tensor([list(source)], device=device), length, before)
    model.train(was)
    if weights is None:
        return None
    rows = [*(words.shown(token) for token in target), "(end)"]
    return Heat(np.asarray(weights[0].float().cpu()), rows, [words.shown(token) for token in source],
                "said", "looked at")  # fmt: skip


def shown(model: Any, data: Data[Pairs], width: int, penalty: float, count: int = 12) -> dict[str, Any]:
    """Pictures for a report: validation sentences as they are translated, those that go wrong, where the net looks."""
    words = vocabulary(data.facts)
    sources, targets = listed(data.valid, 200)
    best = [those[0].tokens for those in said(model, sources, width, penalty)]
    rows = [tuple(map(words.decode, row)) for row in zip(sources, best, targets, strict=True)]
    wrong = [row for row in rows if row[1] != row[2]]
    columns = ("source", "translation", "reference")
    found: dict[str, Any] = {"translations": Listing(columns, rows[:count])}
    if wrong:
        found["mistakes"] = Listing(columns, wrong[:count])
    middle = sorted(range(len(sources)), key=lambda k: len(sources[k]))[len(sources) // 2]
    picture = looked(model, words, sources[middle], best[middle])
    return {**found, **({"attention": picture} if picture else {})}
