"""The recurrent writer: step by step against the whole, its cells against the equations, carried loss, answers."""

from __future__ import annotations

import json
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
from milestones.data.text import Part
from milestones.media import Heat, Listing, Ranking, Text
from milestones.parts.recurrent import Memory
from milestones.parts.sampling import Continues, sampled
from milestones.systems import charrnn

SMALL = {"length": 12, "width": 7, "cells": 9, "layers": 2}
SIGNS = "\n abcdefgh"
FACTS = {"kind": "text", "level": "character", "characters": SIGNS, "merges": "", "length": 12}


def net(settings: dict[str, Any] | None = None) -> charrnn.Writer:
    torch.manual_seed(0)
    model = charrnn.build(changed(charrnn.Knobs(), {**SMALL, **(settings or {})}, "charrnn"), FACTS)
    with torch.no_grad():
        model.head.weight.mul_(3)  # so that it says more than one thing
    return model.eval()


def some(size: int = 500, facts: dict[str, Any] = FACTS) -> Data[Any]:
    rng, place = np.random.default_rng(0), Place(torch.device("cpu"), 0)
    parts = [Part(rng.integers(0, 10, n).astype(np.uint8), 12, place, "some", split)
             for split, n in (("train", 800), ("valid", size), ("test", size))]  # fmt: skip
    return Data(*parts, facts)


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, 10, shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_step_by_step_says_what_the_whole_says() -> None:
    model, token = net(), tokens(3, 30)
    whole = model(token)
    begun = [model.begin(row[:read]) for row, read in zip(token, (1, 5, 29), strict=True)]
    for row, read, (logits, onward), expected in zip(token.tolist(), (1, 5, 29), begun, whole.numpy(), strict=True):
        said = [logits, *(onward(one) for one in row[read:])]
        np.testing.assert_allclose(said, expected[read - 1 :], rtol=1e-4, atol=1e-5)
    assert isinstance(model, Continues)
    said, memory = model.read(token[:, :17])
    more, after = model.read(token[:, 17:], memory)
    torch.testing.assert_close(torch.cat([said, more], 1), whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after, model.read(token)[1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_comes_later_is_not_seen() -> None:
    model, token = net(), tokens(2, 12)
    other = token.clone()
    other[:, 7:] = 3
    one, two = model(token), model(other)
    torch.testing.assert_close(one[:, :7], two[:, :7])
    assert (one[:, 7:] - two[:, 7:]).abs().max() > 0.01


@torch.no_grad()
def test_cells_are_those_of_the_equations() -> None:
    """Input, forget, cell and output gates written out; 'watched' tells tanh of the cells, layer after layer."""
    model, data = net(), some()
    token, cells = charrnn.watched(model, data)
    assert token.shape == (32, 12) and cells.shape == (32, 12, 18)
    x = model.embed(token)
    for k, layer in enumerate(model.net.forwards):
        h = c = torch.zeros(32, 9)
        out = []
        for t in range(12):
            gates = x[:, t] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
            i, f, g, o = gates.chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            torch.testing.assert_close(cells[:, t, 9 * k : 9 * k + 9], c.tanh(), rtol=1e-4, atol=1e-5)
            out.append(h)
        x = torch.stack(out, 1)
    torch.testing.assert_close(model(token), model.head(x), rtol=1e-4, atol=1e-4)


def test_loss_is_the_mean_cross_entropy_of_the_tokens() -> None:
    model, token = net(), tokens(3, 13)
    batch = charrnn.Windows(token[:, :-1], token[:, 1:])
    with torch.no_grad():
        found, chance = charrnn.loss(model, batch), model(batch.token).log_softmax(-1)
    total = [float(chance[b, t, token[b, t + 1]]) for b in range(3) for t in range(12)]
    assert float(found["loss"]) == pytest.approx(-sum(total) / 36, rel=1e-5)
    wrong = (chance.argmax(-1) != batch.target).float().mean()
    assert float(found["error"]) == pytest.approx(100 * float(wrong))


def test_streams_are_the_text_in_its_order() -> None:
    data = some(12 * 100 + 1)
    found = charrnn.streams(data.valid, 40)
    assert found.token.shape == (32, 36), "three windows each"
    text = torch.from_numpy(data.valid.tokens.astype(np.int64))  # type: ignore[attr-defined]
    assert torch.equal(found.token.flatten(), text[: 32 * 36])
    assert torch.equal(found.target.flatten(), text[1 : 32 * 36 + 1])
    assert charrnn.streams(some(12 * 5 + 1).valid, 40).token.shape == (5, 12), "a short part: a window each"


@torch.no_grad()
def test_carried_loss_is_that_of_whole_pieces() -> None:
    model, data = net(), some(12 * 70 + 1)
    found = charrnn.carried(model, data)
    text = torch.from_numpy(data.test.tokens.astype(np.int64))  # type: ignore[attr-defined]
    rows, per = 32, 24  # two windows each; the rest is left out
    whole = model(text[: rows * per].view(rows, per))
    expected = F.cross_entropy(whole.flatten(0, 1), text[1 : rows * per + 1])
    assert found.value == pytest.approx(float(expected), rel=1e-5) and found.over == rows * per
    windows = F.cross_entropy(model(text[: rows * per].view(-1, 12)).flatten(0, 1), text[1 : rows * per + 1])
    assert abs(found.value - float(windows)) > 1e-5
    assert "carried on, in 32 pieces" in found.note and found.low < found.value < found.high


def test_scores() -> None:
    data = some()
    found = charrnn.score(charrnn.Knobs(), net(), data, Place(torch.device("cpu"), 0))
    assert list(found) == ["loss", "carried_loss", "perplexity", "ngram_loss"]
    assert found["perplexity"].value == pytest.approx(math.exp(found["loss"].value))


class Counting(charrnn.Writer):
    """A net with a cell that keeps count of the line: what `kept` is to find."""

    def __init__(self) -> None:
        super().__init__(10, 4, 3, 1, 0.0)
        parent = self

        class Net(torch.nn.Module):
            def stream(self, x: torch.Tensor, memory: Memory | None = None) -> tuple[torch.Tensor, Memory]:
                before = torch.zeros(1, len(x), 3) if memory is None else memory.cell
                ended = (x[:, 0] == parent.embed.weight[0]).all(-1)  # token 0 is a line's end
                count = (-10 * before[0, :, 1]).expm1() + 1  # a logarithm falls by it
                count = -torch.where(ended, 0.0, count).log1p() / 10
                cell = torch.stack([torch.randn(len(x)), count, torch.ones(len(x))], 1)[None]
                return torch.zeros(len(x), 1, 3), Memory(cell, cell)

        self.net = Net()  # type: ignore[assignment]


def test_a_cell_that_keeps_count_is_found() -> None:
    torch.manual_seed(0)
    data, model = some(12 * 400), Counting().eval()
    before = charrnn.watched(net(), data)
    found = charrnn.kept(model, data, before)
    rows = {row[0]: row for row in found["kept"].cells}
    _, cell, correlation, untrained = rows["line"]
    assert cell == 2 and correlation > 0.99 > untrained and isinstance(found["kept"], Listing)
    heat = found["cells"]
    assert isinstance(heat, Heat) and heat.values.shape == (len(rows), charrnn.DRAWN)
    assert "\\n" in heat.columns
    at = list(heat.rows).index("line: 2")
    steps = zip(np.diff(heat.values[at]), heat.columns[1:], strict=True)
    assert all(step > 0 for step, sign in steps if sign != "\\n"), "turned so that it rises with what it counts"


def test_use_goes_on_without_end_of_context() -> None:
    model = net()
    texts = [Text("abc" * 50), Text("")]
    one, two = charrnn.use(model, FACTS, texts, length=40, samples=2)
    assert list(one) == ["answer", "sample 2", "next"], "it reads all of a long text: nothing to say about that"
    assert one["answer"].flows and one["answer"].text.startswith("abc" * 50) and len(one["answer"].text) == 190
    assert len(two["answer"].text) == 40 and isinstance(one["next"], Ranking)
    with torch.no_grad():
        last = model(torch.tensor([[SIGNS.index(sign) for sign in "abc" * 50]]))[0, -1]
    assert one["next"].best == SIGNS[int(last.argmax())].replace("\n", "\\n").replace(" ", "_")
    (greedy,) = charrnn.use(model, FACTS, [Text("abc")], length=9, temperature=0.0)
    expected = sampled(model, torch.tensor([2, 3, 4]), 9, 0.0, 0, 1.0, torch.Generator(), 0)
    assert greedy["answer"].text == "abc" + "".join(SIGNS[k] for k in expected)


def test_use_of_what_cannot_be_continued() -> None:
    with pytest.raises(UserError, match="only characters that the run has seen, got 'z'"):
        charrnn.use(net(), FACTS, [Text("abz")])
    with pytest.raises(UserError, match="charrnn: expected --top-k from 0, got -2"):
        charrnn.use(net(), FACTS, [Text("ab")], top_k=-2)


def test_trained_on_a_text_of_ones_own(tmp_path: Path) -> None:
    """It learns in seconds what follows what; its pictures and scores are in the run folder."""
    from milestones.verbs.execute import Order, begin

    (tmp_path / "some.txt").write_text("".join(f'{k % 7} "and" then {(k + 1) % 7};\n' for k in range(1500)))
    settings = {**SMALL, "cells": 24, "steps": 150, "batch": 16, "lr": 0.02}
    order = Order(data=str(tmp_path / "some.txt"), plan="contiguous/float32/1")
    run = begin("charrnn", settings, order, tmp_path / "runs")
    assert run.report["scores"]["loss"]["value"] < 0.5
    shows = {file.name.split("-", 2)[2]: file for file in (run.folder / "shows").iterdir()}
    assert set(shows) >= {"samples.json", "context.json", "cells.json", "kept.json"}
    kept = json.loads(shows["kept.json"].read_text())["value"]
    assert {row[0] for row in kept["cells"]} == {"line", "sentence", "word", "quotes"}
