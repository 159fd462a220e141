"""What a map is worth: curves against loops, random nets, verdicts, and the page that tells it."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from unit.test_explain import drawn, of, rectified, same, seeded, shipped

from milestones.parts import trust
from milestones.parts.explain import integrated_gradients, question
from milestones.parts.maps import METHODS, Map, Setting, maps, parts_of, randoms
from milestones.parts.trust import Trust
from milestones.report.explained import html_of, overlay, pictures_of, plain
from milestones.verbs.explain import NAMES

__all__ = ["shipped"]  # a fixture


def test_the_verb_names_all_methods() -> None:
    assert list(METHODS) == list(NAMES)


# Curves of deletion and insertion


def test_curves_against_a_loop() -> None:
    net, x = rectified(), drawn(2, 2, 9, 9)
    asked, parts = of(net, x, 0.2), parts_of((2, 9, 9))
    ranks = drawn(3, 2, parts.count)
    found = trust.curves(asked, ranks, parts.groups, steps=7, chunk=5)
    stops = [round(s * 81 / 7) for s in range(8)]
    for k in range(3):
        for b in range(2):
            order = sorted(range(81), key=lambda i: -float(ranks[k, b, i]))
            areas = {}
            for way in ("deletion", "insertion"):
                chances = []
                for stop in stops:
                    one = (x[b] if way == "deletion" else torch.full_like(x[b], 0.2)).clone()
                    for i in order[:stop]:
                        one[:, i // 9, i % 9] = 0.2 if way == "deletion" else x[b, :, i // 9, i % 9]
                    chances.append(float(net(one[None]).softmax(1)[0, asked.target[b]]))
                areas[way] = 100 * np.trapezoid(chances, [s / 81 for s in stops])
            assert float(found.deletion[k, b]) == pytest.approx(areas["deletion"], abs=1e-3)
            assert float(found.insertion[k, b]) == pytest.approx(areas["insertion"], abs=1e-3)


def test_the_best_order_is_found_best() -> None:
    """On a linear net of two classes the weights times the input are the order; its reverse is the worst."""
    net, x = seeded(lambda: nn.Linear(20, 2)), drawn(4, 20)
    asked, share = of(net, x), drawn(1, 4, 20)
    share = integrated_gradients(asked, 2)[None]
    groups = torch.arange(20)
    best, worst, chance = (trust.curves(asked, ranks, groups) for ranks in
                           (share, -share, trust.random_ranks(4, 20)))  # fmt: skip
    assert bool((best.deletion < chance.deletion.min(0).values).all())
    assert bool((best.insertion > chance.insertion.max(0).values).all())
    assert bool((worst.deletion > chance.deletion.mean(0)).all())


def test_groups_of_a_map() -> None:
    parts = parts_of((1, 28, 28))
    assert parts.count == 196 and parts.window == (1, 5, 5) and parts.stride == (1, 2, 2)
    map = drawn(2, 1, 28, 28)
    want = map.view(2, 14, 2, 14, 2).mean((2, 4)).flatten(1)
    same(trust.by_group(map, parts.groups, parts.count), want, 1e-6)


@pytest.mark.parametrize(
    ("shape", "count", "over"),
    [
        ((7,), 7, None),
        ((16000,), 64, None),
        ((9, 32), 9, 2),
        ((3, 8, 8), 64, 1),
        ((3, 224, 224), 196, 1),
        ((1, 40, 25), 14 * 9, 1),
    ],
)
def test_parts_of_every_kind_of_input(shape: tuple[int, ...], count: int, over: int | None) -> None:
    parts = parts_of(shape)
    assert parts.count == count and parts.over == over
    assert sorted(parts.groups.unique().tolist()) == list(range(count))
    assert parts.groups.expand(shape).shape == torch.Size(shape)


def test_inputs_without_parts() -> None:
    with pytest.raises(NotImplementedError, match="inputs of 2 x 3 x 4 x 5 have no parts"):
        parts_of((2, 3, 4, 5))


# Random nets


def test_shuffled_weights_are_the_same_numbers_elsewhere() -> None:
    net = rectified()
    before = [p.clone() for p in net.parameters()]
    twin, again, other = (trust.shuffled(net, seed) for seed in (1, 1, 2))
    for p, q, r, s, kept in zip(*(m.parameters() for m in (net, twin, again, other)), before, strict=True):
        assert torch.equal(p, kept), "the net itself is as it was"
        assert torch.equal(q, r) and sorted(q.flatten().tolist()) == sorted(p.flatten().tolist())
        assert p.numel() < 6 or (not torch.equal(q, p) and not torch.equal(q, s))


def test_similarity_is_spearmans() -> None:
    a = drawn(2, 30)
    a[0, :5] = 0
    a[1] = a[1].round()  # ties
    b = torch.stack([drawn(2, 30, seed=1), a + drawn(2, 30, seed=2)])
    found = trust.similarity(a, b)
    for k in range(2):
        plain = np.mean([spearmanr(a[k], b[r, k]).statistic for r in range(2)])
        absolute = np.mean([spearmanr(a[k].abs(), b[r, k].abs()).statistic for r in range(2)])
        assert found[k] == pytest.approx((plain, absolute), abs=1e-9)


def test_similarity_leaves_out_what_is_empty_in_both() -> None:
    a, b = drawn(1, 40), drawn(1, 1, 40, seed=1)
    wide = torch.cat([a, torch.zeros(1, 500)], 1), torch.cat([b, torch.zeros(1, 1, 500)], 2)
    assert trust.similarity(*wide)[0] == pytest.approx(trust.similarity(a, b)[0])
    assert trust.similarity(a[:, :5], b[..., :5]) == [None], "too few places"
    assert trust.similarity(torch.zeros(1, 9), torch.zeros(1, 1, 9)) == [(0.0, 0.0)]


def test_a_map_that_ignores_the_net_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge detector (Adebayo et al. 2018, figure 1) fails the check; integrated gradients pass it."""
    net, x = rectified(), drawn(1, 2, 9, 9)
    asked = of(net, x)
    edges = METHODS["gradient"]._replace(make=lambda q, p, s: (q.input - q.input.roll(1, -1)).abs())
    monkeypatch.setitem(METHODS, "gradient", edges)
    random = [asked._replace(scores=other) for other in randoms(net, 0)]
    found = maps(asked, random, ["gradient", "integrated"], Setting())
    blind, seeing = found["gradient"], found["integrated"]
    assert isinstance(blind, Map) and isinstance(seeing, Map)
    assert all(one.similarity == pytest.approx(1) and not one.trusted for one in blind.trust)
    assert "Looks the same for a net with random weights: do not trust" in blind.trust[0].sentence
    assert all(abs(one.similarity or 0) < trust.ALIKE for one in seeing.trust)


def test_verdicts() -> None:
    good = Trust(1e-4, 20, 80, 50, 50, 0.1, 0.2)
    assert (
        good.trusted and good.gain == 30 and good.sentence == "Depends on the net, and marks what the answer hangs on."
    )
    assert not good._replace(similarity=-0.8).trusted
    assert "do not trust" in good._replace(similarity=math.nan).sentence, "no number is no reason to trust"
    assert "no more than what chance would mark" in good._replace(deletion=90).sentence
    assert not good._replace(deletion=51, insertion=100).trusted, "better in the mean, but worse in one of the two"
    assert "does not add up" in good._replace(completeness=0.3).sentence
    assert good._replace(empty=True).sentence.startswith("Empty") and not good._replace(empty=True).trusted
    assert (
        good._replace(strength=0.7).trusted and "random weights would mark, too" in good._replace(strength=0.7).sentence
    )
    assert good._replace(similarity=None, strength=None).trusted


def test_a_map_that_is_no_number_is_left_out() -> None:
    def scores(x: Tensor) -> Tensor:
        return torch.stack([x.abs().sqrt().sum(1), x.sum(1), x.mean(1)], 1)  # a slope without end at 0

    found = maps(question(scores, torch.zeros(1, 9), torch.tensor([0])), [], ["gradient", "occlusion"], Setting())
    assert found["gradient"] == "its numbers are not finite"
    assert isinstance(found["occlusion"], Map)


def test_all_maps_of_the_shipped_lenet(shipped: tuple[nn.Module, Tensor]) -> None:
    """Its units are no ReLUs, so that two methods do not fit; the others add up and depend on the net."""
    net, x = shipped
    asked = of(net, x[:2])
    found = maps(asked, [asked._replace(scores=other) for other in randoms(net, 0)], list(METHODS), Setting(20, 4))
    assert [name for name, one in found.items() if isinstance(one, str)] == ["guided", "deconvolution"]
    kept = {name: one for name, one in found.items() if isinstance(one, Map)}
    for name in ("integrated", "shapley"):
        assert all(one.completeness is not None and one.completeness <= 1e-3 for one in kept[name].trust)
        assert all(one.trusted for one in kept[name].trust)
    assert all(one.completeness is None for one in kept["occlusion"].trust)
    best = np.mean([one.gain for one in kept["shapley"].trust])
    assert best > 20, "points of chance"


# The page


def test_overlay_is_white_blue_and_orange() -> None:
    values = np.zeros((10, 10))
    values[0, 0], values[0, 1] = 1, -1
    picture = overlay(values, np.zeros((10, 10)))
    assert picture[5, 5].tolist() == [255, 255, 255]
    assert picture[0, 0, 2] > picture[0, 0, 0] and picture[0, 1, 0] > picture[0, 1, 2]
    assert overlay(np.zeros((3, 3)), np.ones((3, 3))).max() < 200, "the input shows below"


def test_a_board_is_shown_by_its_stones() -> None:
    """Own stones are dark, the other's lighter, free squares white, also where a plane has the free ones."""
    own, other = torch.zeros(2, 6, 7)
    own[5, 3], other[5, 2] = 1, 1
    for planes in (torch.stack([own, other, 1 - own - other]), torch.stack([own, other, torch.ones(6, 7)])):
        seen = plain(planes, torch.zeros(3, 6, 7), [0.0, 1.0])[..., 0]
        assert seen[5, 3] == 0 and 60 < seen[5, 2] < 160 and (seen[:5] == 255).all()


def test_the_page_tells_the_trust_and_repeats() -> None:
    one = {"method": "shapley", "title": "Shapley <values>", "completeness": 1e-6, "deletion": 10.0, "insertion": 90.0,
           "random_deletion": 40.0, "random_insertion": 45.0, "similarity": 0.12, "strength": 0.3, "gain": 37.5,
           "trusted": True, "sentence": "Depends on the net."}  # fmt: skip
    found = {"system": "a & b", "data": "d", "nothing": "black", "bounds": [0.0, 255.0], "columns": None,
             "command": "m", "methods": {"shapley": {"title": "Shapley", "says": "share"},
                                         "guided": {"title": "Guided", "says": "x"}},
             "left_out": {"guided": "this net has none"},
             "inputs": [{"name": "<x>.png", "answer": [{"label": "7", "chance": 0.9}], "truth": "7", "explained": "7",
                         "maps": [one], "inside": []}]}  # fmt: skip
    tensors = {"1/input": 255 * torch.rand(1, 8, 8), "1/nothing": torch.zeros(1, 8, 8), "1/shapley": drawn(1, 8, 8)}
    pictures = pictures_of(found, tensors)
    assert set(pictures) == {"1-input.png", "1-shapley.png"}
    text = html_of(found, pictures)
    assert text == html_of(json.loads(json.dumps(found)), pictures)
    for piece in ("10 % (random 40)", "90 % (random 45)", "exact", "+0.12", "Depends on the net.", "this net has none",
                  "It says <b>7</b>, 90.0 % sure; it is 7", "&lt;x&gt;.png", "a &amp; b"):  # fmt: skip
        assert piece in text, piece
    assert "<values>" not in text and not re.search(r"https?://(?!www\.w3\.org)", text)
