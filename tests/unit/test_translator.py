"""Nets that translate: a search's steps against whole sentences, padding, attention, loss; what is decoded and said."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data import translation
from milestones.media import Heat, Listing, Text
from milestones.parts.attention import Attention, Kept, before, positions
from milestones.parts.bpe import BEGIN, END
from milestones.parts.seq2seq import locked, shifted, token_loss, translated
from milestones.systems import transformer, translator

SHAPES: dict[str, dict[str, Any]] = {
    "translator": {"width": 12, "hidden": 16, "layers": 2, "writing_layers": 2},
    "plain": {"width": 12, "hidden": 16, "attend": False},
    "transformer": {"width": 16, "heads": 4, "inner": 24, "layers": 2},
}
FACTS = {"kind": "text", "merges": "", "languages": ["de", "es"], "to": "", "longest": 60}


@pytest.fixture(params=SHAPES)
def net(request: pytest.FixtureRequest) -> Any:
    page = transformer if request.param == "transformer" else translator
    torch.manual_seed(0)
    model = page.build(changed(page.Knobs(), SHAPES[request.param], "test"), FACTS)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(1.5)  # so that it says more than one thing
    return model.eval()


def examples() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    source, target = (torch.randint(3, 261, (3, wide), generator=rng) for wide in (7, 9))
    source_length, target_length = torch.tensor([7, 4, 1]), torch.tensor([5, 9, 2])
    for tokens, length in ((source, source_length), (target, target_length)):
        tokens[torch.arange(tokens.shape[1]) >= length[:, None]] = 0
    return source, source_length, target, target_length


@torch.no_grad()
def test_step_by_step_says_what_a_whole_sentence_says(net: Any) -> None:
    source, length, target, _ = examples()
    whole = net.scores(net(source, length, F.pad(target, (1, 0), value=BEGIN)))
    step, state = net.begin(source, length)
    token = torch.full((3,), BEGIN)
    for t in range(9):
        scores, state = step(token, state)
        torch.testing.assert_close(scores, whole[:, t], rtol=1e-4, atol=1e-4)
        token = target[:, t]


@torch.no_grad()
def test_hypotheses_of_one_source_do_not_mix_with_those_of_another(net: Any) -> None:
    source, length, target, _ = examples()
    step, state = net.begin(source, length)
    both = step(target[:, :2].flatten(), tuple(part.repeat_interleave(2, 0) for part in state))[0]
    for k in range(3):
        alone, start = net.begin(source[k : k + 1, : length[k]], length[k : k + 1])
        for j in range(2):
            expected = alone(target[k, j : j + 1], start)[0]
            torch.testing.assert_close(both[2 * k + j], expected[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_padding_changes_nothing(net: Any) -> None:
    source, length, target, _ = examples()
    whole = net(source, length, target)
    for k in range(3):
        alone = net(source[k : k + 1, : length[k]], length[k : k + 1], target[k : k + 1])
        torch.testing.assert_close(whole[k], alone[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_what_comes_later_is_not_seen(net: Any) -> None:
    source, length, target, _ = examples()
    other = target.clone()
    other[:, 4:] = 7
    one, two = net(source, length, target), net(source, length, other)
    torch.testing.assert_close(one[:, :4], two[:, :4])
    assert (one[:, 4:] - two[:, 4:]).abs().max() > 0.01


@torch.no_grad()
def test_attention_is_a_mean_over_what_is_there(net: Any) -> None:
    source, length, target, _ = examples()
    weights = net.attention(source, length, target)
    if weights is None:
        assert not net.attend
        return
    assert weights.shape == (3, 9, 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 9))
    assert weights[1, :, 4:].abs().max() == 0 and weights[2, :, 1:].abs().max() == 0


def test_loss_is_the_mean_cross_entropy_of_the_tokens(net: Any) -> None:
    source, source_length, target, target_length = examples()
    total, wrong, tokens = 0.0, 0, 0
    with torch.no_grad():
        for k in range(3):
            said = target[k, : target_length[k]].tolist()
            features = net(source[k : k + 1], source_length[k : k + 1], torch.tensor([[BEGIN, *said]]))
            chance = net.scores(features)[0].log_softmax(-1)
            for row, token in zip(chance, [*said, END], strict=True):
                total -= float(row[token])
                wrong += int(row.argmax()) != token
                tokens += 1
        found = token_loss(net, source, source_length, target, target_length)
    assert float(found["loss"]) == pytest.approx(total / tokens, rel=1e-4)
    assert float(found["error"]) == pytest.approx(100 * wrong / tokens)


def test_targets_are_smoothed_in_training_only(net: Any) -> None:
    net.smoothing, net.dropout = 0.5, 0.0
    before_, after = (float(token_loss(net.train(on), *examples())["loss"].detach()) for on in (False, True))
    assert abs(before_ - after) > 0.005


def test_shifted_ends_each_sentence() -> None:
    first, goal, counts = shifted(torch.tensor([[5, 6, 0], [7, 8, 9]]), torch.tensor([2, 3]))
    assert first.tolist() == [[BEGIN, 5, 6, 0], [BEGIN, 7, 8, 9]]
    assert goal.tolist() == [[5, 6, END, 0], [7, 8, 9, END]]
    assert counts.tolist() == [[True, True, True, False], [True] * 4]


def test_translations_come_in_the_order_of_their_sources(net: Any) -> None:
    sources = [[5, 6, 7], [9], list(range(20, 50)), [100, 4]]
    together = translated(net, sources, torch.device("cpu"), width=3)
    for source, those in zip(sources, together, strict=True):
        (alone,) = translated(net, [source], torch.device("cpu"), width=3)
        assert [one.tokens for one in alone] == [one.tokens for one in those]
        assert all(len(one.tokens) <= 2 * len(source) + 20 for one in those)


def test_attention_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    ours, x = Attention(16, 4), torch.randn(2, 5, 16)
    found, weights = ours(x, ours.keep(x), before(5, x.device))
    query = ours.query(x).view(2, 5, 4, 4).transpose(1, 2)
    theirs = F.scaled_dot_product_attention(query, *ours.keep(x), is_causal=True).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, ours.out(theirs))
    assert weights[:, :, 0, 1:].abs().max() == 0
    assert isinstance(ours.keep(x), Kept)


def test_positions_are_those_of_the_paper() -> None:
    found = positions(3, 4, 6, torch.device("cpu"))
    for t in range(4):
        for i in range(6):
            angle = (t + 3) / 10000 ** (2 * (i // 2) / 6)
            assert float(found[t, i]) == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-5)


def test_one_mask_for_a_whole_sequence() -> None:
    torch.manual_seed(0)
    x = locked(torch.ones(50, 6, 40), 0.25, True)
    assert (x == x[:, :1]).all()
    assert set(np.unique(x.numpy()).round(4)) == {0.0, np.float32(1.3333)}
    assert float(x.mean()) == pytest.approx(1, abs=0.05)
    assert locked(x, 0.25, False) is x


def test_answers_have_languages_hypotheses_and_attention(net: Any) -> None:
    texts = [Text("two three"), Text("one")]
    first, _ = translation.answers(net, FACTS, texts, "", 3, 2, 0.6, "translator")
    assert isinstance(first["answer"], Text) and isinstance(first["hypotheses"], Listing)
    listed = first["in each language (--to)"]
    assert [row[0] for row in listed.cells] == ["de", "es"] and listed.cells[0][1] == first["answer"].text
    assert len(first["hypotheses"].cells) == 2
    alone = translation.answers(net, FACTS, texts, "es", 3, 1, 0.6, "translator")
    assert "in each language (--to)" not in alone[0] and "hypotheses" not in alone[0]
    assert alone[0]["answer"].text == listed.cells[1][1]
    if net.attention(*examples()[:3]) is not None:
        heat = alone[1]["attention"]
        assert isinstance(heat, Heat) and heat.columns[0] == "<es>" and heat.rows[-1] == "(end)"


@pytest.mark.parametrize(
    ("words", "to", "beam", "nbest", "message"),
    [
        ("one", "fr", 4, 1, "expected --to as one of de, es, got 'fr'"),
        ("one", "", 2, 3, "expected 1 <= nbest <= beam <= 100, got nbest 3, beam 2"),
        ("many " * 10_000, "", 1, 1, r"a sentence of at most 60 tokens, got one of 10,000 words and 50,001 tokens"),
        (" ", "es", 1, 1, "expected a sentence to translate, got an empty one"),
    ],
)
def test_what_cannot_be_translated(words: str, to: str, beam: int, nbest: int, message: str) -> None:
    net = translator.build(changed(translator.Knobs(), SHAPES["plain"], "test"), FACTS)
    with pytest.raises(UserError, match=message):
        translation.answers(net, FACTS, [Text(words)], to, beam, nbest, 0.6, "translator")


def test_no_language_was_named() -> None:
    net = translator.build(changed(translator.Knobs(), SHAPES["plain"], "test"), FACTS)
    with pytest.raises(UserError, match="no --to, since the data named no language"):
        translation.answers(net, {**FACTS, "languages": []}, [Text("x")], "es", 1, 1, 0.6, "translator")


def test_heads_divide_the_width() -> None:
    with pytest.raises(UserError, match="a width that the heads divide, got width 10 in 4 heads"):
        transformer.build(changed(transformer.Knobs(), {"width": 10}, "transformer"), FACTS)


class Held:
    name, split = "some", "test"


def test_scores_are_those_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    truth = ["the cat sat on the mat .", "a dog runs in the park", "two men", "it rains today"] * 5
    guesses = ["the cat sat on a mat .", "a dog is in the park", "two men", "rain today"] * 5
    found = translation.measured(guesses, truth, Held, "greedy")
    bleu, chrf = sacrebleu.corpus_bleu(guesses, [truth]), sacrebleu.corpus_chrf(guesses, [truth])
    assert found["bleu"].value == pytest.approx(bleu.score)
    assert found["chrf"].value == pytest.approx(chrf.score)
    assert found["exact"].value == 25.0 and found["exact"].over == 20
    for score in found.values():
        assert score.low < score.value < score.high
    assert "tok:13a" in found["bleu"].note and "version:" in found["bleu"].note and "bs:" not in found["bleu"].note
    assert translation.measured(truth, truth, Held, "x")["bleu"].value == pytest.approx(100)


def test_bleu_of_sentences_that_have_no_four_words_is_left_out() -> None:
    pytest.importorskip("sacrebleu")
    short = ["one two three", "one", "two"] * 4
    assert list(translation.measured(short, short, Held, "x")) == ["chrf", "exact"]
    assert list(translation.measured([*short, "a b c d"], [*short, "a b c d"], Held, "x")) == ["bleu", "chrf", "exact"]


def test_without_sacrebleu_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    found = translation.measured(["a"], ["a"], Held, "x")
    assert list(found) == ["exact"] and 'pip install "milestones[text]"' in found["exact"].note


def test_pictures_of_a_run(tmp_path: Any) -> None:
    file = tmp_path / "some.tsv"
    file.write_text("\n".join(f"{'ab'[k % 2]} {k}\tx{k}" for k in range(60)))
    data = translator.prepare(translator.Knobs(vocabulary=300), Place(torch.device("cpu"), 0, choice=Choice(str(file))))
    net = translator.build(changed(translator.Knobs(), SHAPES["translator"], "test"), data.facts)
    found = translation.shown(net, data, 2, 0.6)
    assert {"translations", "mistakes", "attention"} == set(found)
    assert found["translations"].columns == ("source", "translation", "reference")
    assert net.training, "left as it was"
