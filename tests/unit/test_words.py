"""Nets that tell texts apart: counts against brute force, the pipeline against scikit-learn, padding, answers."""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Data, Place
from milestones.data.texts import Texts, batched
from milestones.media import Listing, Ranking, Text
from milestones.parts.grams import counted, grams, hashed, inverse_frequency, words_of
from milestones.systems import words

SMALL = {
    "buckets": 128, "vocabulary": 320, "width": 8, "hidden": 8, "heads": 2, "layers": 1, "steps": 30, "batch": 16,
    "dropout": 0.0, "shortest": 2, "pieces": 3,
}  # fmt: skip


def rows(count: int = 120) -> list[str]:
    """Two classes that some words tell apart, others are in both."""
    rng = np.random.default_rng(0)
    told = {"warm": ["sun", "beach", "summer"], "cold": ["snow", "ice", "winter"]}
    both = ["the", "day", "of", "a", "walk", "and", "we", "went"]
    found = []
    for k in range(count):
        label = ("warm", "cold")[k % 2]
        said = [*rng.choice(both, 5), *rng.choice(told[label], 2), f"n{k}"]
        found.append(f"{' '.join(rng.permutation(said))},{label}")
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "weather.csv"
    path.write_text("text,label\n" + "\n".join(rows()) + "\n", encoding="utf-8")
    return path


def knobs_of(**more: Any) -> words.Knobs:
    return changed(words.Knobs(), {**SMALL, **more}, "words")


def place_of(file: Path) -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(str(file)))


@pytest.fixture(scope="module")
def data(file: Path) -> Data[Texts]:
    return words.prepare(knobs_of(), place_of(file))


@pytest.fixture(scope="module")
def trained(file: Path, data: Data[Texts], tmp_path_factory: pytest.TempPathFactory) -> tuple[words.Nets, Path]:
    torch.manual_seed(0)
    model, folder = words.build(knobs_of(), data.facts), tmp_path_factory.mktemp("run")
    with Run(folder, place_of(file), "contiguous/float32/1") as run:
        words.train(knobs_of(), model, data, run)
    return model.eval(), folder


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("We don't.", ["we", "don't", "."]),
        ("In 1984, Ärger’s snake_case", ["in", "1984", ",", "ärger’s", "snake", "_", "case"]),
        ("  ", []),
        ("東京 🙂!", ["東京", "🙂", "!"]),
    ],
)
def test_words_of_a_text(text: str, found: list[str]) -> None:
    assert words_of(text) == found


def test_grams_are_the_pieces_between_the_marks() -> None:
    pieces = ["<ab>", "<a", "ab", "b>", "<ab", "ab>"]
    assert grams("ab", 2, 3) == [zlib.crc32(piece.encode()) & (2**31 - 1) for piece in pieces]
    assert grams("ab", 2, 9) == grams("ab", 2, 3), "the whole word counts once"
    assert grams("ab", 2, 0) == [hashed("<ab>")]
    assert len(grams("where", 3, 3)) == 1 + 5, "<wh whe her ere re> (Bojanowski et al., section 3.2)"


def slowly(text: list[str], low: int, high: int, pairs: bool) -> Counter[int]:
    found = Counter(gram for word in text for gram in grams(word, low, high))
    if pairs:
        for one, two in itertools.pairwise(text):
            found[(hashed(f"<{one}>") * 1_000_003 + hashed(f"<{two}>")) % 2**31] += 1
    return found


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("at_once", [4, 100_000])
def test_counts_are_those_of_a_loop(pairs: bool, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.parts.grams.AT_ONCE", at_once)
    texts = [words_of(text) for text in ("a rose is a rose", "is", "", "rose is , rose", "a a a a a a a a a a")]
    gram, count, length = counted(texts, 2, 4, pairs)
    assert length.tolist() == [len(slowly(text, 2, 4, pairs)) for text in texts]
    ends = np.cumsum([0, *length])
    for k, text in enumerate(texts):
        mine = dict(zip(gram[ends[k] : ends[k + 1]].tolist(), count[ends[k] : ends[k + 1]].tolist(), strict=True))
        assert mine == dict(slowly(text, 2, 4, pairs))


def test_no_texts_have_no_counts() -> None:
    assert [len(part) for part in counted([], 2, 4)] == [0, 0, 0]


def test_inverse_frequency() -> None:
    found = inverse_frequency(np.array([0, 3, 9]), 9)
    assert found == pytest.approx([math.log(10) + 1, math.log(10 / 4) + 1, 1.0])


def dense(net: words.Bag, source: Any) -> tuple[np.ndarray, np.ndarray]:
    """Features and classes of the pipeline as a matrix."""
    batch = next(source.sweep(len(source)))
    place, weight = net.weighted(batch)
    found = torch.zeros(len(batch.label), net.buckets).scatter_add_(1, place.long(), weight)
    return found.numpy().astype(np.float64), batch.label.numpy()


def test_the_pipelines_features_are_those_of_scikit_learn(data: Data[Texts]) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    net = words.Bag(4096, 2, 0.1)
    net.rarity(data.train.sweep(50))
    batch = next(data.train.sweep(len(data.train)))
    several = shared(batch)
    counts = np.zeros((len(batch.label), 4096))
    for row, (gram, count) in enumerate(zip(batch.gram.tolist(), batch.count.tolist(), strict=True)):
        for g, n in zip(gram, count, strict=True):
            if n:
                assert counts[row, g % 4096] == 0 or g % 4096 in several, "two grams in one bucket"
                counts[row, g % 4096] = n
    alone = [k for k in range(4096) if k not in several]
    theirs = text.TfidfTransformer(sublinear_tf=True, norm=None).fit(counts)
    np.testing.assert_allclose(net.idf.numpy()[alone], theirs.idf_[alone], rtol=1e-5)
    ours, _ = dense(net, data.train)
    lengths = np.linalg.norm(ours, axis=1)
    assert np.median(lengths) == pytest.approx(1) and lengths.min() > 0.9999, "longer where buckets are shared"


def shared(batch: Texts) -> set[int]:
    """Buckets of several grams."""
    every = {g for g, n in zip(batch.gram.flatten().tolist(), batch.count.flatten().tolist(), strict=True) if n}
    found = Counter(g % 4096 for g in every)
    return {bucket for bucket, n in found.items() if n > 1}


def test_the_pipelines_fit_is_scikit_learns(file: Path, data: Data[Texts], tmp_path: Path) -> None:
    """Logistic regression with the same pull to 0, of the same features: nearly the same chances."""
    linear = pytest.importorskip("sklearn.linear_model")
    knobs = knobs_of(net="bag", beside=False, strength=1.0)
    torch.manual_seed(0)
    model = words.build(knobs, data.facts)
    with Run(tmp_path, place_of(file), "contiguous/float32/1") as run:
        words.train(knobs, model, data, run)
    net = model.of["bag"].eval()
    (x, y), (asked, right) = dense(net, data.train), dense(net, data.test)
    theirs = linear.LogisticRegression(C=2.0, max_iter=5000, tol=1e-8).fit(x, y)  # one weight for our two
    with torch.no_grad():
        ours = net(next(data.test.sweep(len(data.test)))).softmax(-1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(asked), atol=1e-3)
    assert (ours.argmax(1) == theirs.predict(asked)).all()
    assert (theirs.predict(asked) == right).mean() > 0.8


def test_a_bucket_counts_once_a_text() -> None:
    net = words.Bag(4, 2, 1.0)
    gram = torch.tensor([[0, 4, 1], [2, 0, 0]], dtype=torch.int32)  # 0 and 4 share a bucket
    count = torch.tensor([[1, 2, 1], [1, 0, 0]], dtype=torch.int32)
    none = torch.zeros(2, dtype=torch.long)

    net.rarity([Texts(torch.zeros(2, 1, dtype=torch.int32), none, none + 1, gram, count)])
    assert net.idf.tolist() == pytest.approx(inverse_frequency(np.array([1, 1, 1, 0]), 2).tolist())


@torch.no_grad()
def test_padding_changes_no_answer(data: Data[Texts], trained: tuple[words.Nets, Path]) -> None:
    texts = ["snow", "we went a walk of the day and the sun on the beach in summer, again and again", "ice and"]
    together = batched(data.facts, texts)
    assert len(set(together.length.tolist())) == 3
    for name, net in trained[0].of.items():
        said = net(together)
        for k, text in enumerate(texts):
            torch.testing.assert_close(
                said[k : k + 1], net(batched(data.facts, [text])), rtol=1e-4, atol=1e-5, msg=name
            )


@torch.no_grad()
def test_the_average_is_an_average(data: Data[Texts]) -> None:
    torch.manual_seed(0)
    net = words.build(knobs_of(net="average", beside=False), data.facts).of["average"].eval()
    once, twice = (batched(data.facts, [text]) for text in ("snow", "snow snow"))
    vectors = [net.vectors.weight[g % net.buckets] for g in once.gram[0].tolist()]
    torch.testing.assert_close(net(once)[0], net.out(torch.stack(vectors).mean(0)))
    more = [int(n) for n in twice.count[0]]
    assert sorted(more) == [1] + [2] * len(vectors), "all twice, and the pair once"


def test_the_table_has_all_nets(trained: tuple[words.Nets, Path], data: Data[Texts], file: Path) -> None:
    model, folder = trained
    names = ["bag", "average", "lstm", "transformer"]
    assert list(model.of) == names
    scores = words.score(knobs_of(), model, data, place_of(file))
    assert list(scores) == ["error", *(f"error_{name}" for name in names)]
    assert scores["error"].value == scores[f"error_{model.name}"].value
    assert "of the fewest validation errors; who always says 'cold' has 50.0 %" in scores["error"].note
    assert all(score.low <= score.value <= score.high and score.over == len(data.test) for score in scores.values())
    shows = {path.name.split("-", 2)[2] for path in (folder / "shows").iterdir()}
    assert shows >= {"nets.json", "learning.json", "confusion.json", "mistakes.json"}


def test_the_best_on_validation_answers(trained: tuple[words.Nets, Path], data: Data[Texts]) -> None:
    model = trained[0]
    wrong = {name: int(words.missed(net, data.valid)[0].sum()) for name, net in model.of.items()}
    assert wrong[model.name] == min(wrong.values())
    assert words.build(knobs_of(net="lstm"), data.facts).name == "lstm"
    alone = words.build(knobs_of(net="lstm", beside=False), data.facts)
    assert list(alone.of) == ["lstm"]


@torch.no_grad()
def test_answers_and_the_words_that_spoke(trained: tuple[words.Nets, Path], data: Data[Texts]) -> None:
    model = trained[0]
    model.chosen.fill_(0)
    first, second = words.use(model, data.facts, [Text("We went, a day of snow"), Text("snow")])
    assert isinstance(first["answer"], Ranking) and first["answer"].best == "cold"
    assert isinstance(first["words"], Listing) and first["words"].cells[0][0] == "snow"
    assert first["words"].cells[0][1] > 0 and first["words"].columns[1] == "speaks for cold, nats"
    assert "words" not in second, "without its only word nothing is left"
    assert [row[0] for row in first["each net"].cells] == list(model.of)
    whole, without = (
        model(batched(data.facts, [t])).softmax(-1)[0] for t in ("We went, a day of snow", "We went, a day of")
    )
    cold = data.facts["labels"].index("cold")
    fall = float(whole[cold].logit() - without[cold].logit())
    assert first["words"].cells[0][1] == pytest.approx(fall, rel=1e-3)


def test_what_is_refused(data: Data[Texts]) -> None:
    with pytest.raises(UserError, match="expected a text with words, got ' '"):
        words.read(data.facts, [Text("   ")])
    with pytest.raises(UserError, match="a width that the heads divide, got width 10 in 4 heads"):
        words.build(changed(words.Knobs(), {"width": 10}, "words"), data.facts)


def test_the_slope_is_that_of_autograd(data: Data[Texts]) -> None:
    torch.manual_seed(0)
    net = words.Bag(64, 2, 0.3)
    torch.nn.init.normal_(net.weights.weight)
    x, back, label = net.rows(data.train.sweep(20))
    torch.testing.assert_close(x.to_dense().T, back.to_dense())
    found = net.downhill(x, back, label)
    mine = [weight.grad for weight in net.parameters()]
    net.zero_grad()
    value = words.loss(net, next(data.train.sweep(len(data.train))))["loss"]
    value = value + 0.3 / 2 * net.weights.weight.square().sum()
    value.backward()
    torch.testing.assert_close(found, value.detach())
    for one, weight in zip(mine, net.parameters(), strict=True):
        torch.testing.assert_close(one, weight.grad)
