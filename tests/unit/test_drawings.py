"""drawings: scores of artists whose faults are known, answers that depend on the class alone, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Data, Place
from milestones.data.drawings import answers, class_of, judge_of, noise_of, scores, shown, some, train_judge
from milestones.data.pictures import pictures
from milestones.media import Image, Text

LEVELS = {"labels": ["T-shirt/top", "Bag", "7", "bag 2"], "channels": 1, "side": 28, "mean": 30.0, "spread": 70.0}


class Artist(nn.Module):
    """Draws the noise itself as grey levels, or whatever a test gives to `draw`."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__()
        self.judge, self.noise = judge_of(facts), (1, 28, 28)

    def draw(self, label: Tensor, noise: Tensor) -> Tensor:
        return (noise * 40 + 100 + label[:, None, None, None]).clamp(0, 255).byte()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data[Any]:
    """A thousand embedded digits: 800 to learn from, 100 to validate on, 100 to test with."""
    import milestones.data

    path = tmp_path_factory.mktemp("digits") / "some.npz"
    with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
        np.savez(path, image=archive["image"][:1000], label=archive["label"][:1000])
    return pictures(Place(torch.device("cpu"), 0, choice=Choice(str(path))))


@pytest.fixture(scope="module")
def artist(digits: Data[Any], tmp_path_factory: pytest.TempPathFactory) -> Artist:
    """One with a judge that has learned."""
    torch.manual_seed(0)
    made = Artist(digits.facts)
    with Run(tmp_path_factory.mktemp("judge"), Place(torch.device("cpu"), 0), plan="exact") as run:
        train_judge(made.judge, digits, run, 150)
        assert (run.folder / "state" / "judge.safetensors").exists()
    return made.eval()


def in_turn(source: Any) -> Any:
    """A draw that hands out the pictures of a source, each of the class that is asked for, as far as there are any."""
    given: dict[int, int] = {}

    def draw(label: Tensor, noise: Tensor) -> Tensor:
        rows = []
        for kind in label.tolist():
            of_kind = (source.examples.label == kind).nonzero()[:, 0]
            rows.append(of_kind[given.get(kind, 0) % len(of_kind)])
            given[kind] = given.get(kind, 0) + 1
        return source.examples.image[torch.stack(rows)]

    return draw


def test_real_test_pictures_are_perfect(artist: Artist, digits: Data[Any]) -> None:
    found = scores(artist, in_turn(digits.test), digits)
    assert {name: score.unit for name, score in found.items()} == {
        "sample_accuracy": "%", "judge_accuracy": "%", "frechet": "squared", "coverage": "%", "copies": "%",
        "nearest_train": "levels",
    }  # fmt: skip
    assert found["judge_accuracy"].value > 80
    assert found["sample_accuracy"].value == pytest.approx(found["judge_accuracy"].value)
    assert found["coverage"].value == 100
    assert found["frechet"].value == pytest.approx(0, abs=1e-4)
    assert found["copies"].value <= 2
    assert all(score.low <= score.value <= score.high and score.note for score in found.values())
    assert f"reads {found['judge_accuracy'].value:.1f} % of real ones rightly" in found["sample_accuracy"].note


def test_copies_of_training_pictures_are_found(artist: Artist, digits: Data[Any]) -> None:
    found = scores(artist, in_turn(digits.train), digits)
    assert found["copies"].value == 100
    assert found["nearest_train"].value == 0
    assert found["sample_accuracy"].value > 85, "which looks as good as can be"


def test_an_artist_with_one_picture_covers_little(artist: Artist, digits: Data[Any]) -> None:
    one = digits.test.examples.image[:1]  # type: ignore[attr-defined]

    def draw(label: Tensor, noise: Tensor) -> Tensor:
        return one.expand(len(label), -1, -1, -1)

    found = scores(artist, draw, digits)
    whole = scores(artist, in_turn(digits.train), digits)
    assert found["coverage"].value < 30 < whole["coverage"].value
    assert found["sample_accuracy"].value < 30
    assert found["frechet"].value > 5 * whole["frechet"].value


def test_noise_has_no_class_and_copies_nothing(artist: Artist, digits: Data[Any]) -> None:
    found = scores(artist, artist.draw, digits)
    assert found["sample_accuracy"].value < 40
    assert found["copies"].value == 0
    assert found["nearest_train"].value > 50
    assert found == scores(artist, artist.draw, digits), "the same is said twice"


def test_some_are_drawn_at_random_each_once(digits: Data[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milestones.data.drawings.PICTURES", 60)
    batch, again = some(digits.test, "a"), some(digits.test, "a")  # type: ignore[arg-type]
    assert len(batch.label) == 60
    assert torch.equal(batch.image, again.image)
    assert not torch.equal(batch.image, some(digits.test, "b").image)  # type: ignore[arg-type]
    assert len({one.numpy().tobytes() for one in batch.image}) == 60


def test_what_is_drawn_depends_on_the_class_and_the_seed_alone(artist: Artist, digits: Data[Any]) -> None:
    def said(words: list[str], samples: int, seed: int = 0) -> list[dict[str, Any]]:
        found = answers(artist, artist.draw, digits.facts, [Text(word) for word in words], samples, seed, "flow")
        return [{name: item.plain() for name, item in answer.items()} for answer in found]

    both, one = said(["7", "3"], 3), said([" 3 "], 3)
    assert list(one[0]) == ["answer", "sample 2", "sample 3", "judged"]
    assert both[1] == one[0] != both[0]
    few = said(["3"], 1)[0]
    assert few["answer"] == one[0]["answer"]
    assert len({one[0][name]["png"] for name in ("answer", "sample 2", "sample 3")}) == 3
    assert said(["3"], 1, seed=1)[0]["answer"] != few["answer"]
    assert " of 3 read as 3 by a net" in one[0]["judged"]


def test_each_picture_has_its_own_noise() -> None:
    artist = Artist(LEVELS)
    few, more = noise_of(artist, 2, "a", 1), noise_of(artist, 5, "a", 1)
    assert torch.equal(few, more[:2])
    assert not torch.equal(more[0], more[1])
    assert more.shape == (5, 1, 28, 28)
    assert abs(float(more.mean())) < 0.1 and float(more.std()) == pytest.approx(1, abs=0.1)


def test_a_class_is_named_as_it_was_learned() -> None:
    assert [class_of(LEVELS, word, "flow") for word in ("7", " Bag", "bag", "t-shirt/TOP", "BAG 2")] == [2, 1, 1, 0, 3]
    wrong = {"shoe": "Name one", "t-shirt": "Did you mean 'T-shirt/top'", "": "an empty text"}
    for word, said in wrong.items():
        with pytest.raises(UserError) as caught:
            class_of(LEVELS, word, "flow")
        assert "flow: expected the name of a class that was learned: T-shirt/top, Bag, 7, bag 2" in str(caught.value)
        assert said in str(caught.value)


@pytest.mark.parametrize("samples", [0, -1, 101])
def test_how_many_are_drawn_is_bounded(samples: int) -> None:
    artist = Artist(LEVELS)
    with pytest.raises(UserError, match=f"--samples from 1 to 100 pictures, got {samples}"):
        answers(artist, artist.draw, LEVELS, [Text("7")], samples, 0, "gan")


def test_pictures_of_the_report(artist: Artist, digits: Data[Any]) -> None:
    found = shown(artist, in_turn(digits.train), digits)
    assert found.keys() == {"samples", "nearest"}
    assert all(isinstance(item, Image) for item in found.values())
    assert found["samples"].width > found["samples"].height / 2
