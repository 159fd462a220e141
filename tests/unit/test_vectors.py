"""Vectors of words: the loss against a loop, counting against brute force, what a batch is made of, analogies."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Data, Place, keyed
from milestones.data.sentences import RELATIONS, Near, around, own, pick, spoken, varied
from milestones.media import Listing, Text
from milestones.parts.cooccurrence import factors, interval, ppmi, questions, solved, unit
from milestones.systems import vectors

SMALL = {
    "vocabulary": 200,
    "least": 2,
    "window": 2,
    "negatives": 3,
    "buckets": 64,
    "width": 8,
    "steps": 40,
    "batch": 64,
    "sample": 0.0,
}
WORDS = [
    "king",
    "queen",
    "man",
    "woman",
    "sons",
    "daughters",
    "egypt",
    "israel",
    "water",
    "bread",
    "went",
    "came",
    "saw",
    "gave",
    "fathers",
    "mothers",
    "father",
    "mother",
    "day",
    "night",
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    lines = [f"The {' '.join(rng.choice(WORDS, 7))}." for _ in range(300)]
    path = tmp_path_factory.mktemp("vectors") / "some.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def knobs_of(**more: Any) -> vectors.Knobs:
    return changed(vectors.Knobs(), {**SMALL, **more}, "vectors")


def place_of(file: Path, **choice: str) -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(str(file), **choice))


@pytest.fixture(scope="module")
def data(file: Path) -> Data[Near]:
    return vectors.prepare(knobs_of(), place_of(file))


@pytest.fixture(scope="module")
def model(file: Path, data: Data[Near], tmp_path_factory: pytest.TempPathFactory) -> vectors.Vectors:
    torch.manual_seed(0)
    found = vectors.build(knobs_of(), data.facts)
    with Run(tmp_path_factory.mktemp("run"), place_of(file), "contiguous/float32/1") as run:
        vectors.train(knobs_of(), found, data, run)
    return found.eval()


@pytest.mark.parametrize("buckets", [0, 16])
def test_the_loss_is_equation_4(buckets: int) -> None:
    torch.manual_seed(0)
    net = vectors.SkipGram(["king", "kings", "a"], 5, buckets, 3, 4)
    torch.nn.init.normal_(net.stands.weight)
    torch.nn.init.normal_(net.means.weight)
    batch = Near(torch.tensor([[0, 2, 3, 1], [0, 0, 1, 0]]), torch.tensor([1, 2]), torch.tensor([[1, 2, 2], [3, 1, 1]]))
    means, stands = net.means.weight.detach().numpy(), net.stands.weight.detach().numpy()
    total, pairs = 0.0, 0
    for context, word, other in zip(batch.context.tolist(), batch.word.tolist(), batch.other.tolist(), strict=True):
        vector = means[word]
        if buckets:
            pieces = [net.pieces.weight[k].detach().numpy() for k in net.cut(["king", "kings", "a"][word - 1])]
            vector = np.mean([vector, *pieces], 0)
        for around_it in filter(None, context):
            total -= math.log(1 / (1 + math.exp(-stands[around_it] @ vector)))
            total -= sum(math.log(1 / (1 + math.exp(stands[one] @ vector))) for one in other)
            pairs += 1
    assert float(vectors.loss(net, batch)["loss"].detach()) == pytest.approx(total / pairs, rel=1e-5)


def test_nothing_around_costs_nothing() -> None:
    net = vectors.SkipGram(["a", "b"], 4, 0, 3, 4)
    batch = Near(torch.zeros(2, 4, dtype=torch.int32), torch.tensor([1, 2]), torch.tensor([[1], [2]]))
    assert float(vectors.loss(net, batch)["loss"].detach()) == 0


def test_words_around_are_those_of_the_sentence() -> None:
    word, context = around([[1, 2, 3], [4], []], 2)
    assert word.tolist() == [1, 2, 3, 4]
    assert context.tolist() == [[0, 0, 2, 3], [0, 1, 3, 0], [1, 2, 0, 0], [0, 0, 0, 0]]


def test_a_training_batch_looks_less_far_and_leaves_out_frequent_words() -> None:
    n, rng = 20_000, torch.Generator().manual_seed(0)
    batch = Near(torch.full((n, 6), 2), torch.tensor([1, 2]).repeat(n // 2), torch.zeros(n, 1))
    kept, drawn = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.25, 1.0], dtype=torch.double)
    found = varied(batch, rng, 3, kept, drawn, 4)
    assert ((found.context == 0) | (found.context == 2)).all()
    own_kept = (found.context > 0).any(1).double()
    assert float(own_kept[0::2].mean()) == pytest.approx(0.5, abs=0.02), "a frequent word is left out itself"
    assert float(own_kept[1::2].mean()) == 1, "as far as one word is always looked"
    shares = (found.context[1::2] > 0).double().mean(0)
    assert shares.tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3], abs=0.02)
    assert float((found.other == 1).double().mean()) == pytest.approx(0.25, abs=0.01)
    assert set(found.other.unique().tolist()) == {1, 2}


def test_pick_covers_both_ends() -> None:
    sums = torch.tensor([0.0, 0.5, 0.5, 1.0], dtype=torch.double)
    assert pick(sums, torch.tensor([[0.0, 0.499, 0.5, 0.999, 1.0]])).tolist() == [[1, 1, 3, 3, 3]]


def test_ppmi_is_that_of_a_loop() -> None:
    counts = np.array([[0, 4, 1], [4, 0, 0.5], [1, 0.5, 2]])
    found = ppmi(torch.from_numpy(counts).to_sparse(), 0.75).to_dense().numpy()
    smooth = counts.sum(0) ** 0.75
    for i in range(3):
        for j in range(3):
            if counts[i, j]:
                together = counts[i, j] / counts.sum()
                apart = counts[i].sum() / counts.sum() * smooth[j] / smooth.sum()
                assert found[i, j] == pytest.approx(max(0.0, math.log(together / apart)), abs=1e-6)
            else:
                assert found[i, j] == 0


def test_factors_are_the_largest_singular_values() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.random((40, 40)) * (rng.random((40, 40)) < 0.3)
    u, v = factors(torch.from_numpy(matrix).float().to_sparse(), 6, keyed("test"), rounds=20)
    left, values, right = np.linalg.svd(matrix)
    best = left[:, :6] * values[:6] @ right[:6]
    np.testing.assert_allclose((u @ v.T).numpy(), best, atol=0.02)
    np.testing.assert_allclose(u.norm(dim=0).square().numpy(), values[:6], rtol=0.01)
    np.testing.assert_allclose(v.norm(dim=0).square().numpy(), values[:6], rtol=0.01)


def test_counting_counts_as_a_net_meets(data: Data[Near]) -> None:
    knobs = knobs_of(window=2, sample=1e-2)
    words = len(data.facts["words"].split())
    examples = data.train.examples  # type: ignore[attr-defined]
    share = np.bincount(examples.word.numpy(), minlength=words + 1) / len(examples.word)
    kept = np.minimum(1, np.sqrt(1e-2 / np.maximum(share, 1e-12)))
    counts = np.zeros((words + 1, words + 1))
    for word, context in zip(examples.word.tolist(), examples.context.tolist(), strict=True):
        for at, one in enumerate(context):
            if one:
                counts[word, one] += (0.5, 1, 1, 0.5)[at] * kept[word] * kept[one]
    matrix = ppmi(torch.from_numpy(counts).to_sparse())
    means, stands = vectors.counted(data.train, words, knobs)
    left, right = factors(matrix, knobs.width, keyed("counted"))
    np.testing.assert_allclose((means @ stands.T).numpy(), (left @ right.T).numpy(), atol=1e-3)


def test_analogies_against_a_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    table = unit(torch.randn(9, 4, generator=rng))
    quiz, where = questions([[(1, 2), (3, 4), (5, 6)], [(7, 8), (1, 3)]])
    assert len(quiz) == len(where) == 6 + 2
    assert quiz[0].tolist() == [1, 2, 3, 4] and where[-1].tolist() == [1, 1, 0]
    for leave_out in (True, False):
        for offset in (True, False):
            expected = []
            for a, b, c, d in quiz.tolist():
                asked = table[c] + (table[b] - table[a] if offset else 0)
                order = sorted(range(9), key=lambda k, asked=asked: -float(table[k] @ asked))
                expected.append(next(k for k in order if not leave_out or k not in (a, b, c)) == d)
            assert solved(table, quiz, leave_out, offset).tolist() == expected
    assert not solved(table, quiz, leave_out=False, offset=False).any(), "the word nearest to c is c"
    assert len(solved(table, quiz[:0])) == 0


def test_a_perfect_offset_is_found() -> None:
    base, step = torch.eye(4), torch.tensor([0.3, 0.3, 0.3, 0.3])
    table = torch.cat([torch.zeros(1, 4), base, base + step])
    quiz, _ = questions([[(k, k + 4) for k in range(1, 5)]])
    assert solved(table, quiz).all()


def test_the_interval_is_over_pairs() -> None:
    _, where = questions([[(1, 2)] * 10, [(3, 4)] * 8])
    none, every = (interval(torch.full((len(where),), right), where, keyed("x")) for right in (False, True))
    assert none == (0.0, 0.0) and every == (100.0, 100.0)
    right = (where[:, 2] < 5) & (where[:, 0] == 0)  # half of the first relation's pairs are easy
    low, high = interval(right, where, keyed("x"))
    share = 100 * float(right.double().mean())
    assert low < share < high
    wide = high - low
    n = len(right)
    assert wide > 1.5 * 2 * 1.96 * 100 * math.sqrt(share / 100 * (1 - share / 100) / n), (
        "wider than of independent ones"
    )


def test_all_relations_are_pairs() -> None:
    for pairs in RELATIONS.values():
        found = [pair.split() for pair in pairs.split(", ")]
        assert all(len(pair) == 2 and pair[0] != pair[1] for pair in found)
        assert len({tuple(pair) for pair in found}) == len(found)


def test_a_batch_is_pure_and_words_are_numbered_by_frequency(data: Data[Near], file: Path) -> None:
    again = vectors.prepare(knobs_of(), place_of(file))
    for step in (3, 0):
        assert all(
            torch.equal(a, b) for a, b in zip(data.train.batch(step, 16), again.train.batch(step, 16), strict=True)
        )
    words = data.facts["words"].split()
    assert words[0] == "the" and set(words) == {"the", *WORDS}
    assert list(data.facts["relations"]) == ["family"], "of others there are not two pairs"
    king, queen = (1 + words.index(word) for word in ("king", "queen"))
    assert [king, queen] in data.facts["relations"]["family"]


def test_final_learns_from_the_validation_part(file: Path, data: Data[Near]) -> None:
    final = vectors.prepare(knobs_of(), place_of(file, split="final"))
    assert len(final.train) > len(data.train)
    assert final.valid.name.endswith("(seen in training)")


def test_own_text_by_paragraphs_or_lines(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("one line\nof a paragraph\n\nanother one", encoding="utf-8")
    (tmp_path / "texts" / "b.md").write_text("a line\nand a line\n", encoding="utf-8")
    parts, title, notes = own(str(tmp_path / "texts"), "")
    every = sorted(" ".join(one) for part in parts for one in part)
    assert every == ["a line", "and a line", "another one", "one line of a paragraph"]
    assert title == "texts" and "2 files joined, from a.txt to b.md" in notes
    assert spoken([["a", ",", "b"], ["."]]) == [["a", "b"]]


def test_what_is_refused(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UserError, match=r"a text file or a folder of texts, got .*none.txt, which does not exist"):
        own(str(tmp_path / "none.txt"), "")
    with pytest.raises(UserError, match=r"a folder with texts \(.txt, .+\), got .* without any"):
        own(str(tmp_path), "")
    path = tmp_path / "some.txt"
    path.write_bytes(b"good\nbad \xff\n")
    with pytest.raises(UserError, match=r"a text in UTF-8, got byte 0xff in .*some.txt line 2, byte 5"):
        own(str(path), "")
    path.write_bytes("in UTF-16".encode("utf-16"))
    with pytest.raises(UserError, match=r"a zero byte in .*some.txt"):
        own(str(path), "")
    path.write_text("\n \n")
    with pytest.raises(UserError, match=r"a text with words, got none in"):
        own(str(path), "")
    path.write_text("a few words only\n" * 3)
    with pytest.raises(
        UserError, match=r"at least 100 words that stand 2 times, in each part, got 0 in one part of some.txt"
    ):
        vectors.prepare(knobs_of(), place_of(path))


def test_scores_have_the_baselines_beside_them(model: vectors.Vectors, data: Data[Near], file: Path) -> None:
    scores = vectors.score(knobs_of(), model, data, place_of(file))
    assert list(scores) == [
        "error", "analogies", "error_words", "analogies_words", "error_counted", "analogies_counted", "analogies_all",
        "analogies_nearest",
    ]  # fmt: skip
    assert scores == vectors.score(knobs_of(), model, data, place_of(file))
    assert all(score.low <= score.value <= score.high for score in scores.values())
    assert 25 < scores["error"].value < 75, "words drawn at random tell nothing of each other"
    assert "50 % is chance" in scores["error"].note


def test_neighbours_can_be_told_where_there_is_something_to_tell(tmp_path: Path) -> None:
    """Two languages that never stand together: all ways know which words belong together."""
    rng = np.random.default_rng(1)
    one, two = WORDS[:10], WORDS[10:]
    path = tmp_path / "two.txt"
    path.write_text("\n".join(" ".join(rng.choice((one, two)[k % 2], 8)) for k in range(400)), encoding="utf-8")
    place, knobs = place_of(path), knobs_of(steps=300, lr=0.03)
    data = vectors.prepare(knobs, place)
    torch.manual_seed(0)
    model = vectors.build(knobs, data.facts)
    (tmp_path / "run").mkdir()
    with Run(tmp_path / "run", place, "contiguous/float32/1") as run:
        vectors.train(knobs, model, data, run)
    for name, tables in model.tables().items():
        wrong, over = vectors.mistaken(tables, data.test)
        assert wrong / over < 0.4, name  # half of the drawn words are of the same kind: a quarter at best
    listed = vectors.near(model, {"king": 1.0}, 9)
    mine = {row[0] for row in listed.cells}
    assert len(mine & set(one)) >= 8


def test_answers(model: vectors.Vectors, data: Data[Near]) -> None:
    single, summed, unseen = vectors.use(model, data.facts, [Text("King"), Text("king - man + woman"), Text("kingly")])
    assert isinstance(single["nearest"], Listing)
    assert single["nearest"].columns == ["pieces", "cosine", "words", "cosine", "counted", "cosine"]
    assert single["answer"].text == single["nearest"].cells[0][0] != "king"
    assert "nearest, the question's words among them" not in single
    whole = summed["nearest, the question's words among them"]
    assert len(whole.cells) == 4 and whole.cells[0][1] >= whole.cells[1][1] >= whole.cells[3][1]
    assert not {"king", "man", "woman"} & {row[0] for row in summed["nearest"].cells}
    assert unseen["nearest"].cells[0][2:4] == ["", None], "whole words say nothing of a word never seen"
    with pytest.raises(UserError, match=r"words that the training text has, got .!!."):
        vectors.signed(model, "!!")
    with pytest.raises(UserError, match=r"a word, or a sum as king - man [+] woman, got ' '"):
        vectors.signed(model, " ")


def test_signs_of_a_sum(model: vectors.Vectors) -> None:
    assert vectors.signed(model, "king - man + woman") == {"king": 1, "man": -1, "woman": 1}
    assert vectors.signed(model, "king man") == {"king": 1, "man": 1}
    assert vectors.signed(model, "-king+man") == {"king": -1, "man": 1}


def test_a_word_is_the_mean_of_itself_and_its_pieces() -> None:
    net = vectors.SkipGram(["ab", "abc"], 4, 50, 3, 4)
    pieces = net.cut("ab")
    assert len(pieces) == 2, "<ab and ab>; <ab> is the word itself"
    expected = torch.stack([net.means.weight[1], *(net.pieces.weight[k] for k in pieces)]).mean(0)
    torch.testing.assert_close(net.meant(torch.tensor([1]))[0], expected)
    assert (net.pieces.weight[0] == 0).all()


def test_who_knows_nothing_is_right_by_half(data: Data[Near]) -> None:
    words = len(data.facts["words"].split()) + 1
    wrong, over = vectors.mistaken((torch.ones(words, 4), torch.zeros(words, 4)), data.test)
    assert wrong == (over + 1) // 2 and over > 100


def test_no_solved_analogy_is_not_certainty(
    model: vectors.Vectors, data: Data[Near], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(unit: torch.Tensor, quiz: torch.Tensor, *how: bool) -> torch.Tensor:
        return torch.zeros(len(quiz), dtype=torch.bool)

    monkeypatch.setattr(vectors, "solved", none)
    found = vectors.score(knobs_of(), model, data, place_of(file))["analogies"]
    assert found.value == found.low == 0 < found.high
