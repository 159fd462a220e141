"""The page of language models: attention against PyTorch's own, the cache, pairs of tokens, scores, completions."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.source import Data, Place
from milestones.data import continued
from milestones.data.text import Part
from milestones.media import Curve, Heat, Listing, Text
from milestones.parts.attention import turned, turns
from milestones.parts.sampling import Continues, sampled
from milestones.systems import gpt

SMALL = {"length": 12, "width": 16, "heads": 2, "layers": 2}
FACTS = {"kind": "text", "level": "character", "characters": "\n abcdefgh", "merges": "", "length": 12}


def net(settings: dict[str, Any] | None = None, facts: dict[str, Any] = FACTS) -> gpt.GPT:
    torch.manual_seed(0)
    model = gpt.build(changed(gpt.Knobs(), {**SMALL, **(settings or {})}, "gpt"), facts)
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(std=0.4)  # none of them 0, so that each part counts
    return model.eval()


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, 10, shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_attention_is_that_of_pytorch() -> None:
    """The block written with PyTorch's attention, and turns by sines and cosines."""
    model, x = net(), torch.randn(3, 12, 16)
    block = model.blocks[0]
    found, kept, looked = block(x, model.turn, model.hidden)
    angle = torch.arange(12)[:, None] / 10000 ** (torch.arange(0, 8, 2) / 8)

    def turn(y: torch.Tensor) -> torch.Tensor:
        y = F.layer_norm(y.unflatten(2, (2, 8)), (8,))
        out = torch.empty_like(y)
        for t, k in itertools.product(range(12), range(4)):
            a, b, c, s = y[:, t, :, 2 * k], y[:, t, :, 2 * k + 1], angle[t, k].cos(), angle[t, k].sin()
            out[:, t, :, 2 * k], out[:, t, :, 2 * k + 1] = a * c - b * s, a * s + b * c
        return out.transpose(1, 2)

    y = F.layer_norm(x, (16,))
    query, key = (turn(side) for side in block.look(y).chunk(2, -1))
    value = block.value(y).unflatten(2, (2, 8)).transpose(1, 2)
    theirs = F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)
    z = x + block.out(theirs)
    z = z + block.outer(F.relu(block.inner(F.layer_norm(z, (16,)))) ** 2)
    torch.testing.assert_close(found, z, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(kept.keys, key, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(looked.sum(-1), torch.ones(3, 2, 12))
    assert looked.triu(1).abs().max() == 0


def test_products_depend_on_the_distance_alone() -> None:
    q, k, turn = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16), turns(40, 16)

    def product(at: int, other: int) -> float:
        return float((turned(q, turn[at : at + 1]) * turned(k, turn[other : other + 1])).sum())

    assert product(5, 2) == pytest.approx(product(33, 30), abs=1e-4)
    assert abs(product(5, 2) - product(5, 4)) > 1e-3
    assert float(turned(q, turn[7:8]).norm()) == pytest.approx(float(q.norm()), rel=1e-5)


@pytest.mark.parametrize("buckets", [0, 8192, 30])
@pytest.mark.parametrize("shape", [{}, {"width": 12, "heads": 1}, {"width": 128, "heads": 4, "layers": 4}])
def test_with_the_cache_it_says_what_it_says_without(buckets: int, shape: dict[str, int]) -> None:
    """Token after token, in NumPy, against the whole at once; each text by itself."""
    model, token = net({"buckets": buckets, **shape}), tokens(3, 12)
    whole = model(token).detach().numpy()
    begun = [model.begin(row[:read]) for row, read in zip(token, (1, 5, 12), strict=True)]
    for row, read, (logits, onward), expected in zip(token.tolist(), (1, 5, 12), begun, whole, strict=True):
        said = [logits, *(onward(one) for one in row[read:])]
        np.testing.assert_allclose(said, expected[read - 1 :], rtol=1e-4, atol=1e-4)
    assert isinstance(model, Continues)


@torch.no_grad()
def test_the_cache_ends_with_the_context_and_follows_the_weights() -> None:
    model, token = net(), tokens(12)
    onward = model.begin(token)[1]
    with pytest.raises(IndexError):
        onward(0)
    onward = model.begin(token[:4])[1]
    model.head.weight.mul_(2)
    np.testing.assert_allclose(onward(int(token[4])), model(token[None, :5])[0, -1].numpy(), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_greedy_continuation_is_the_uncached_one() -> None:
    model, prompt = net(), tokens(4)
    said = list(sampled(model, prompt, 8, 0.0, 0, 1.0, torch.Generator(), 12))
    held = prompt.tolist()
    for token in said:
        assert token == int(model(torch.tensor([held]))[0, -1].argmax())
        held.append(token)
    assert len(list(sampled(model, prompt, 40, 1.0, 0, 1.0, torch.Generator().manual_seed(0), 12))) == 40


@torch.no_grad()
def test_what_comes_later_is_not_seen_and_a_part_says_what_the_whole_says() -> None:
    model, token = net(), tokens(2, 12)
    other = token.clone()
    other[:, 7:] = 3
    one, two = model(token), model(other)
    torch.testing.assert_close(one[:, :7], two[:, :7])
    assert (one[:, 7:] - two[:, 7:]).abs().max() > 0.01
    torch.testing.assert_close(model(token[:, :5]), one[:, :5], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_each_pair_of_tokens_has_a_vector_of_its_own_where_there_are_enough() -> None:
    model = net()
    assert model.pair is not None
    before, token = (side.flatten()[None] for side in torch.meshgrid(torch.arange(11), torch.arange(10), indexing="ij"))
    seen: list[torch.Tensor] = []
    model.pair.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.vectors(before, token)
    assert len(seen[0].unique()) == 110 and int(seen[0].max()) < 8192
    few = net({"buckets": 30})
    few.pair.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))  # type: ignore[union-attr]
    few.vectors(before, token)
    assert 20 < len(seen[1].unique()) <= 30


def test_pairs_of_many_tokens_have_the_same_vector_in_numpy() -> None:
    """Their product with the hash's factor is larger than 64 bits hold."""
    with torch.device("meta"):
        model = gpt.GPT(65536, 4, 4, 1, 1, 1000, 0.0)
    before, token = torch.arange(0, 65537, 64), torch.arange(65535, -2, -64).clamp(min=0)
    found = model.bucket(before.numpy(), token.numpy())
    assert found.tolist() == model.bucket(before, token).tolist() and found.min() >= 0 and found.max() < 1000


@torch.no_grad()
def test_it_begins_by_saying_nothing() -> None:
    model = gpt.build(changed(gpt.Knobs(), SMALL, "gpt"), FACTS)
    assert model(tokens(2, 12)).abs().max() == 0, "so that the first loss is log V"


def test_loss_is_the_mean_cross_entropy_of_the_tokens() -> None:
    model, token = net(), tokens(3, 13)
    batch = gpt.Windows(token[:, :-1], token[:, 1:])
    with torch.no_grad():
        found = gpt.loss(model, batch)
        chance = model(batch.token).log_softmax(-1)
    total = [float(chance[b, t, token[b, t + 1]]) for b in range(3) for t in range(12)]
    assert float(found["loss"]) == pytest.approx(-sum(total) / 36, rel=1e-5)
    wrong = (chance.argmax(-1) != batch.target).float().mean()
    assert float(found["error"]) == pytest.approx(100 * float(wrong))


def test_muon_moves_the_blocks_and_adam_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Caught(Exception):
        pass

    def fit(*args: Any, optimizer: Any, **more: Any) -> None:
        made.append(optimizer)
        raise Caught

    data = some()
    monkeypatch.setattr(gpt, "fit", fit)
    for muon, sizes in ((True, [3, 10]), (False, [13])):
        knobs = changed(gpt.Knobs(), {**SMALL, "muon": muon}, "gpt")
        model = gpt.build(knobs, FACTS)
        with pytest.raises(Caught):
            gpt.train(knobs, model, data, None)  # type: ignore[arg-type]
        assert [len(group["params"]) for group in made[-1].param_groups] == sizes


def test_heads_divide_the_width() -> None:
    with pytest.raises(UserError, match="a width that the heads divide into even parts, got width 18 in 6 heads"):
        net({"width": 18, "heads": 6})


def some(facts: dict[str, Any] = FACTS, length: int = 12) -> Data[Any]:
    place = Place(torch.device("cpu"), 0)
    rng = np.random.default_rng(0)
    kinds = len(facts["characters"]) or 256
    parts = [
        Part(rng.integers(0, kinds, size).astype(np.uint16), length, place, "some", split)
        for split, size in (("train", 800), ("valid", 300), ("test", 500))
    ]
    return Data(*parts, facts)


class Even:
    """A net to which all tokens are alike."""

    training = False

    def __init__(self, kinds: int) -> None:
        self.kinds = kinds

    def __call__(self, token: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*token.shape, self.kinds)

    def eval(self) -> None: ...
    def train(self, mode: bool) -> None: ...


def test_loss_of_a_net_that_knows_nothing() -> None:
    found = continued.scores(Even(10), some())
    assert found["loss"].value == pytest.approx(math.log(10)) and found["perplexity"].value == pytest.approx(10)
    assert found["loss"].over == (500 - 1) // 12 * 12 and found["loss"].unit == "nats"
    assert found["ngram_loss"].value > 2, "what is drawn at random cannot be foretold by counting"
    assert all(score.low <= score.value <= score.high for score in found.values())


def test_loss_of_pairs_is_by_the_character() -> None:
    """Two bytes make one character: the cost of both is that of one."""
    facts = {**FACTS, "level": "pairs", "characters": "", "merges": ""}
    letters = "äöüß" * 200
    made = np.array(list(letters.encode()), np.uint16)
    place = Place(torch.device("cpu"), 0)
    data = Data(*(Part(made, 12, place, "some", split) for split in ("train", "valid", "test")), facts)
    found = continued.scores(Even(256), data)
    assert found["perplexity"].value == pytest.approx(256)
    windows = (len(made) - 1) // 12
    begun = sum(byte & 0xC0 != 0x80 for byte in letters.encode()[1 : 12 * windows + 1])
    assert found["loss"].over == begun
    assert found["loss"].value == pytest.approx(math.log(256) * 12 * windows / begun)
    assert found["ngram_loss"].value < 0.1, "four letters in turn"


def test_the_interval_is_that_of_blocks() -> None:
    rng = torch.Generator().manual_seed(0)
    above, below = torch.rand(400, generator=rng).double() + 1, torch.ones(400).double()
    value, low, high = continued.ratio(above, below)
    assert value == pytest.approx(float(above.mean()))
    half = 1.96 * float(above.std()) / 20
    assert (low, high) == (pytest.approx(value - half, rel=1e-3), pytest.approx(value + half, rel=1e-3))


def test_completions() -> None:
    model = net()
    texts = [Text("abc"), Text("")]
    one, two = continued.answers(model, FACTS, texts, 20, 0.8, 0, 1.0, 0, 2, "gpt", 12)
    assert list(one) == ["answer", "sample 2", "next"]
    assert one["answer"].text.startswith("abc") and len(one["answer"].text) == 23 and len(two["answer"].text) == 20
    assert one["answer"] != one["sample 2"]
    (again,) = continued.answers(model, FACTS, [Text("abc")], 20, 0.8, 0, 1.0, 0, 1, "gpt", 12)
    assert again["answer"] == one["answer"], "whatever stands beside it"
    (other,) = continued.answers(model, FACTS, [Text("abc")], 20, 0.8, 0, 1.0, 1, 1, "gpt", 12)
    assert other["answer"] != one["answer"]


def test_a_prompt_longer_than_the_context_says_so() -> None:
    (found,) = continued.answers(net(), FACTS, [Text("abcdefgh" * 3)], 5, 0.8, 0, 1.0, 0, 1, "gpt", 12)
    assert found["answer"].text.startswith("abcdefgh" * 3)
    assert found["prompt"].text == "the last 12 of its 24 tokens were read: more the net does not hold"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 0}, "--length from 1, got 0"),
        ({"temperature": -1.0}, "--temperature from 0, got -1"),
        ({"temperature": math.nan}, "--temperature from 0, got nan"),
        ({"temperature": math.inf}, "--temperature from 0, got inf"),
        ({"top_p": math.nan}, "--top-p above 0 to 1, got nan"),
        ({"top_k": -1}, "--top-k from 0, got -1"),
        ({"top_p": 0.0}, "--top-p above 0 to 1, got 0"),
        ({"top_p": 1.5}, "--top-p above 0 to 1, got 1.5"),
        ({"samples": 0}, "--samples from 1 to 100, got 0. Leave it out for the page's own"),
    ],
)
def test_options_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        gpt.use(net(), FACTS, [Text("abc")], **change)


def test_a_prompt_of_unknown_characters() -> None:
    with pytest.raises(UserError, match=r"only characters that the run has seen, got 'z' \(LATIN SMALL LETTER Z\)"):
        gpt.use(net(), FACTS, [Text("abcz")])


def test_pictures_of_a_run() -> None:
    model = net().train()
    found = {**continued.shown(model, some(), 12), **gpt.looks(model, some())}
    assert isinstance(found["samples"], Listing) and len(found["samples"].cells) == 3
    curve = found["context"]
    assert isinstance(curve, Curve) and list(curve.x) == list(range(1, 13))
    for name in ("head_before", "head_far"):
        heat = found[name]
        assert isinstance(heat, Heat) and heat.values.shape == (12, 12)
        np.testing.assert_allclose(heat.values.sum(1), 1, rtol=1e-4)
    assert model.training, "left as it was"


def test_trained_on_a_text_of_ones_own(tmp_path: Path) -> None:
    """It learns in seconds what follows what, in tokens of either kind."""
    from milestones.verbs.execute import Order, begin

    (tmp_path / "some.txt").write_text("".join(f"{k % 7} and then {(k + 1) % 7};\n" for k in range(1500)))
    for level in ("character", "pairs"):
        settings = {**SMALL, "level": level, "vocabulary": 270, "steps": 120, "batch": 32, "lr": 0.01}
        order = Order(data=str(tmp_path / "some.txt"), plan="contiguous/float32/1")
        report = begin("gpt", settings, order, tmp_path / "runs").report
        assert report["scores"]["loss"]["value"] < 0.8, level
        assert report["data"]["name"] == "some.txt"
