"""Does each page learn? Its quick preset passes its threshold without being suspiciously perfect, in its time; and it
can learn eight examples by heart."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learns.made_lines import NONE, cases
from learns.rotation import chosen

import milestones
from milestones.catalog import TIMELINE, find, page
from milestones.core.config import changed
from milestones.core.fit import cosine, evaluate, fit
from milestones.core.run import Run
from milestones.core.source import Data, Held, Place
from milestones.media import Image
from milestones.parts.muon import Muon
from milestones.verbs.execute import Order, begin

# page: (largest error in percent, smallest believable error, seconds of training on two cores with time to spare)
QUICK = {
    "descent": (50.0, 10.0, 120.0),  # percent of races that do not end at a lowest minimum; set after the first run
    "mdp": (5.0, 0.0, 60.0),  # percent of the best return lost; 0 is believable: the policy may be the best; set before
    "perceptron": (5.0, 0.0, 30.0),  # 0 is believable: the clouds are separable by construction
    "roman": (15.0, 0.05, 180.0),  # percent of sums in Arabic numerals that are wrong
    "parity": (5.0, 0.0, 180.0),  # of the recurrent net; 0 is believable: a state of one bit is exact
    "mlp": (4.0, 0.5, 180.0),
    "lenet1989": (4.0, 0.4, 180.0),
    "dynamics": (25.0, 0.0, 180.0),  # percent of free runs lost within two Lyapunov times; set before the first run
    "stack": (0.0, 0.0, 180.0),  # of the net that is set by hand: right by construction; set before the first run
    "lstm": (5.0, 0.8, 180.0),  # set before the first run: 8,000 of MNIST's rows, 128 units
    "lenet": (1.6, 0.3, 180.0),
    "zipcode": (8.0, 0.3, 200.0),  # percent of lines not right
    # thousandths: squared error of a pixel from 30 numbers; published 3.8 of 60,000 training pictures, where principal
    # components have 17.7; set before the first score
    "autoencoder": (12.0, 3.0, 180.0),
    "dbn": (3.5, 0.8, 180.0),  # better than mlp from the same pictures; set before the first score
    "circuit": (8.0, 1.0, 180.0),  # percent of digits named by Bayes's rule; set before the first run
    "alexnet": (2.0, 0.3, 200.0),
    "speech": (30.0, 1.0, 200.0),  # percent of words wrong, of voices never heard; set before the first score
    "depth": (10.0, 1.0, 180.0),  # of three hidden layers, 3,000 weights; a prototype had 4.5 to 7.2 when this was set
    # percent of 40 unseen roads without three laps, issue's bound; 0 is believable: the expert has it; set before the
    # first run
    "driver": (5.0, 0.0, 120.0),
    # percent of strings of 120 vectors with a wrong bit, none of validation at three seeds when this was set; 0 is
    # believable: a procedure
    "memory": (20.0, 0.0, 180.0),
    # percent of drawn pictures that are not read as what was asked for; set before the first run; 0 is believable: what
    # is drawn may be typical of its class
    "gan": (10.0, 0.0, 180.0),
    "translator": (10.0, 0.0, 200.0),  # percent of sentences not word for word; 0 is believable: made by rules
    # nats a picture, bound and exact; of 60,000 training pictures papers have 87 to 97, of 9,000 more is believable
    "vae": (115.0, 80.0, 180.0),  # set before the first score
    "adversarial": (4.0, 0.3, 180.0),  # of unchanged pictures; the rest is in a test of its own
    "frames": (3.0, 0.02, 180.0),  # percent of frames; drawn: 0.3 on validation films when this was set
    "sounds": (12.0, 0.0, 180.0),  # of voices never heard; 0 is believable of 180 sounds; set before the first score
    "captions": (15.0, 0.0, 200.0),  # percent of pictures of unseen pairs not told rightly; 0 is believable: drawn
    "made": (110.0, 78.0, 180.0),  # set before the first score
    "resnet": (1.2, 0.15, 200.0),
    "eeg": (30.0, 2.0, 180.0),  # percent of trials of four classes, in a later session of made heads
    # percent of the 20 official runs, the bound; with so few alphabets under 4.2 would be news
    "fewshot": (25.0, 4.0, 180.0),
    "bpl": (20.0, 3.0, 180.0),  # percent of the same runs, the bound; set before the first score
    "scenes": (12.0, 0.5, 180.0),  # percent of scenes at the scale that fits; a prototype had 6 when this was set
    "transformer": (10.0, 0.0, 200.0),  # as the translator, on the same sentences
    "charrnn": (160.0, 60.0, 180.0),  # hundredths of a nat a character, as gpt; set before the first score
    "gpt": (150.0, 60.0, 180.0),  # hundredths of a nat a character, of verses; set before the first score
    "vectors": (40.0, 10.0, 180.0),  # percent of neighbours taken for drawn words, chance 50; set before the first run
    "words": (15.0, 1.0, 200.0),  # percent of pieces of 5 to 14 letters, chance 87; set before the first run
    "logic": (5.0, 0.5, 180.0),  # percent of digits, of which only sums were told; set before the first run
    "reinforce": (-400.0, -500.0, 120.0),  # minus the mean return, of 500 at most; set before the first run
    "ppo": (-475.0, -500.0, 60.0),  # as reinforce; the field calls 475 solved; 500 is believable: it cannot be more
    "dqn": (-475.0, -500.0, 60.0),  # as ppo; set before the first run
    "flow": (5.0, 0.0, 180.0),  # as gan; the bound; set before the first run
    "pqn": (-475.0, -500.0, 60.0),  # as ppo; set before the first run
    # percent of a record's moves not foretold, in positions that are in no game of training; set before the first run
    "alphago": (60.0, 20.0, 180.0),
    # hundredths of a nat after 100 updates, of nets of 20 units on pictures of 8 x 8; set before the first score
    "learned_optimizer": (70.0, 10.0, 180.0),
    "alphazero": (3.0, 0.0, 150.0),  # percent of easy positions misplayed, issue's bound; set before the first run
    # minus the return after 1,000 real steps, at most 200; set before the first run
    "worldmodel": (-195.0, -200.0, 180.0),
}


def test_every_page_has_a_threshold() -> None:
    assert set(QUICK) == {entry.name for entry in TIMELINE}


# A threshold that is known to be missed stays as it was set, before measuring; the page must stay as good as it was
# measured to be (benchmarks/digits.py, 5 seeds: 9.9 %, at most 10.8). page: (bound, reason)
MISSED = {
    "zipcode": (10.0, "reads 92.4 % of composed test lines (two seeds), 92 % wanted here: too near"),
    # this bound was set after the first runs, of two seeds
    "worldmodel": (-100.0, "keeps the pole up for 119 to 172 of 200 steps after 1,000 real ones, 195 wanted"),
    # set after the first run
    "alphazero": (13.2, "misplays 9.3 % of the easy positions (6.5 to 13.2, one seed), 3 % wanted"),
}


ROUGH = {
    "zipcode",
    "alphazero",
    "gan",
    "flow",
}  # they make the updates that fit where bfloat16 is fast; elsewhere these take thrice as long

TURN = chosen({name: most for name, (_, _, most) in QUICK.items()})


def turn(name: str, *marks: Any) -> Any:
    """A page, marked slow if it is not its turn."""
    return pytest.param(name, marks=[*marks, *([] if name in TURN else [pytest.mark.slow])])


def marked(name: str) -> Any:
    """A page whose threshold is missed, and known to be. (Where USPS is not at hand its test lines are easier.)"""
    if name not in MISSED:
        return turn(name)
    return turn(name, pytest.mark.xfail(strict=False, raises=AssertionError, reason=MISSED[name][1]))


def in_turn(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A mark for a test of one page."""
    return (lambda test: test) if name in TURN else pytest.mark.slow


Report = dict[str, Any]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Report, Path]]:
    """A page's quick preset trained once for all tests: its report, and the folder of its runs."""

    @functools.cache
    def trained(name: str) -> tuple[Report, Path]:
        folder = tmp_path_factory.mktemp(name)
        return begin(name, {}, Order(), folder).report, folder

    return trained


def error_of(report: Report) -> float:
    """Percent of wrong answers, or what stands for it: of a page that plays, minus its return."""
    scores = report["scores"]
    if "error" in scores:
        return scores["error"]["value"]
    if "lost" in scores:
        return scores["lost"]["value"]
    if "word_error" in scores:
        return scores["word_error"]["value"]
    if "wrong_moves_easy" in scores:
        return scores["wrong_moves_easy"]["value"]
    if "return" in scores:
        return -scores["return"]["value"]
    if "reconstruction" in scores:  # in thousandths of the squared level
        return 1000 * scores["reconstruction"]["value"]
    if "nll" in scores:  # of a model that gives pictures a chance, in nats a picture
        return scores["nll"]["value"]
    if "loss" in scores:  # a language model's, in hundredths of a nat
        return 100 * scores["loss"]["value"]
    return 100 - next(
        scores[name]["value"]
        for name in ("lines_right", "reached", "accuracy", "exact", "laps", "sample_accuracy", "policy_accuracy")
        if name in scores
    )


@pytest.mark.parametrize("name", [marked(name) for name in QUICK])
def test_quick(name: str, quick: Callable[[str], tuple[Report, Path]]) -> None:
    most, least, _ = QUICK[name]
    assert least <= error_of(quick(name)[0]) <= most


@pytest.mark.parametrize("name", [turn(name) for name in MISSED])
def test_what_misses_its_threshold_gets_no_worse(name: str, quick: Callable[[str], tuple[Report, Path]]) -> None:
    assert QUICK[name][1] <= error_of(quick(name)[0]) <= MISSED[name][0]


@pytest.mark.parametrize("name", [turn(name) for name in QUICK])
def test_quick_ends_in_time(name: str, quick: Callable[[str], tuple[Report, Path]]) -> None:
    report, folder = quick(name)
    plan = json.loads(next(folder.glob("*/plan.json")).read_text())
    slower = 3 if name in ROUGH and plan["precision"] == "float32" else 1
    assert report["seconds"] <= slower * QUICK[name][2]
    assert report["ended"] == "finished"


@pytest.mark.parametrize("name", [turn(name) for name in QUICK])
def test_the_doctor_finds_nothing_wrong(name: str, quick: Callable[[str], tuple[Report, Path]]) -> None:
    assert quick(name)[0]["findings"] == []


@in_turn("adversarial")
def test_adversarial_resists_one_step_and_says_what_more_do(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """Published: 10.6 % read rightly after one step of 0.25 before, 82.1 % after training on such pictures."""
    scores = quick("adversarial")[0]["scores"]
    assert scores["accuracy_fgsm"]["value"] >= 82
    assert scores["standard_accuracy"]["value"] >= 95
    assert scores["standard_accuracy_fgsm"]["value"] <= 40
    for name in ("", "standard_"):
        many, most = (scores[f"{name}accuracy_{attack}"] for attack in ("pgd", "autoattack"))
        assert many["over"] == most["over"] >= 100
        assert most["value"] <= many["value"] + 2, "no attack is stronger than the standard set by much"
        assert "AutoAttack leaves" in scores[f"{name}accuracy_fgsm"]["note"]


@in_turn("zipcode")
def test_zipcode_reads_made_pictures(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """It reads at least 16 of 21, and no number, but at most once, where there is none."""
    pictures = cases()
    run = milestones.load("zipcode", runs=str(quick("zipcode")[1]))
    answers = run.use([Image(np.asarray(picture)) for _, picture in pictures])
    said = [(want, answer["answer"].best) for (want, _), answer in zip(pictures, answers, strict=True)]
    wrong = [f"{want} as {read}" for want, read in said if want != read]
    print(f"read {len(said) - len(wrong)} of {len(said)}" + (f"; misread {', '.join(wrong)}" if wrong else ""))
    assert len(said) == 21
    assert len(wrong) <= 5, wrong
    assert sum(want == NONE != read for want, read in said) <= 1, wrong


@in_turn("scenes")
def test_scenes_tells_what_is_missed_at_the_wrong_scale(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """Most mugs that fit are found, and most of those that have a giant's pixels in a scene that fits them; what is
    missed of giants is the page's finding, and is only printed."""
    scores = quick("scenes")[0]["scores"]
    missed = {name: round(score["value"], 1) for name, score in scores.items()}
    print(f"scenes: wrong, %: {missed}")
    assert missed["miss_normal"] <= 40  # seven pixels in noise; 23 on validation scenes when this was set
    assert missed["miss_control"] <= 20  # 8 then
    assert missed["false_alarms_near"] <= 10
    assert scores["miss_giant"]["over"] == scores["miss_normal"]["over"] == 1000


@in_turn("autoencoder")
def test_autoencoder_is_worth_more_than_a_linear_code(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """Of as many numbers; published: 3.0 against 13.9, summed over the pixels. Set before the first score."""
    scores = quick("autoencoder")[0]["scores"]
    assert scores["reconstruction"]["value"] < 0.7 * scores["pca_reconstruction"]["value"]
    assert 0.014 <= scores["pca_reconstruction"]["value"] <= 0.021, "that of 30 principal components is known"


@in_turn("dbn")
def test_dbn_likelihood_is_that_of_digits(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """In nats a picture: above what independent pixels have (about -206), and not better than what any model of the
    field has of ten times the pictures (about -80). Set before the first score."""
    scores = quick("dbn")[0]["scores"]
    assert -130 <= scores["log_likelihood"]["value"] <= -80
    assert scores["probe_error"]["value"] <= 10


@in_turn("frames")
def test_frames_needs_its_memory(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """A net that sees single frames is right in at most 75 % of them."""
    scores = quick("frames")[0]["scores"]
    assert scores["error_single"]["value"] >= 25
    assert scores["error_single"]["over"] == scores["error"]["over"] == 9600


@in_turn("memory")
def test_memory_carries_on_and_the_lstm_does_not(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """Trained on 20 vectors at most; less than one wrong bit of the 960 of 120 vectors."""
    scores = quick("memory")[0]["scores"]
    assert scores["bit_error"]["value"] < 1
    assert scores["bit_error_lstm"]["value"] > 100
    assert scores["bit_error"]["over"] == scores["bit_error_lstm"]["over"] == 100


@in_turn("logic")
def test_logic_is_worth_a_net_that_has_none(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """Sums are told better by a program that can add; 2.3 and 4.6 % wrong in the first run."""
    scores = quick("logic")[0]["scores"]
    assert scores["answer_error"]["value"] < scores["direct_answer_error"]["value"] <= 30


@in_turn("learned_optimizer")
@pytest.mark.xfail(strict=False, raises=AssertionError, reason="0.46 nats against 0.36 of tuned Adam in the first run")
def test_learned_optimizer_is_at_home_on_its_own_tasks(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """No worse than Adam at its best rate by more than a tenth where it learned; set before the first
    score."""
    scores = quick("learned_optimizer")[0]["scores"]
    assert scores["loss"]["value"] <= 1.1 * scores["loss_adam"]["value"]


@in_turn("learned_optimizer")
def test_learned_optimizer_says_where_it_loses(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """On each kind of task, beside rivals that learn it; the bound was set before the first score."""
    scores = quick("learned_optimizer")[0]["scores"]
    for family in ("", "_wider", "_deeper", "_relu", "_longer"):
        assert "lowest: " in scores[f"loss{family}"]["note"]
        assert scores[f"loss{family}_adam"]["value"] < 1.5


@in_turn("driver")
def test_driver_stays_on_roads_as_its_expert_does(quick: Callable[[str], tuple[Report, Path]]) -> None:
    scores = quick("driver")[0]["scores"]
    assert scores["expert"]["value"] == 100
    assert scores["laps"]["over"] == scores["expert"]["over"] == 40
    assert scores["laps_dusk"]["value"] >= 50  # set before the first run: nothing as dark was ever seen


@in_turn("stack")
def test_stack_what_learns_knows_only_what_it_was_shown(quick: Callable[[str], tuple[Report, Path]]) -> None:
    """The LSTM learns strings as in training, and not longer ones; 2.5 and 42 % wrong in the first run."""
    scores = quick("stack")[0]["scores"]
    assert scores["lstm_error"]["value"] <= 15
    assert scores["lstm_longer_error"]["value"] >= 20 > scores["longer_error"]["value"] == 0
    assert (scores["depth_float32"]["value"], scores["depth_float64"]["value"]) == (12, 26)


@pytest.mark.parametrize("name", [turn("gan"), turn("flow")])
def test_what_is_drawn_is_neither_copied_nor_all_alike(name: str, quick: Callable[[str], tuple[Report, Path]]) -> None:
    """Set before the first run: most of what is real is near something drawn, and copies are about as rare as real
    test pictures that lie so near to a training picture (1 %)."""
    scores = quick(name)[0]["scores"]
    assert scores["judge_accuracy"]["value"] >= 97
    assert scores["coverage"]["value"] >= 50
    assert scores["copies"]["value"] <= 10
    assert scores["nearest_train"]["value"] > 5


def ending(step: int) -> float:
    """The schedule that keeps the rate for 360 updates, and takes it to 0 in the last 40: a last step too long would
    decide the loss."""
    return min(1.0, (400 - step) / 40)


@pytest.mark.parametrize(
    "name",
    ["mlp", "lenet1989", "lenet", "zipcode", "alexnet", "resnet", "scenes", "translator", "transformer", "logic"],
)
def test_learns_eight_examples_by_heart(name: str, tmp_path: Path) -> None:
    system = page(find(name)).system
    knobs = system.presets["modern" if "modern" in system.presets else "quick"]
    plain = {"smoothing": 0.0, "dropout": 0.0, "side": 32}  # which keep a net from learning by heart
    knobs = changed(knobs, {k: v for k, v in plain.items() if k in type(knobs).model_fields}, name)
    place = Place(torch.device("cpu"), 0)
    data: Data[Any] = system.prepare(knobs, place)
    eight: Any = Held(type(next(data.train.sweep(8)))(*next(data.train.sweep(8))), place, "eight", "train")
    model = system.build(knobs, data.facts)
    before = evaluate(model, system.loss, eight)["loss"]
    with Run(tmp_path, place, plan="exact") as run:
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        fit(model, system.loss, eight, run, steps=400, batch=8, optimizer=optimizer, schedule=ending)
    after = evaluate(model, system.loss, eight)
    assert before > 1
    assert after["loss"] < 0.02
    assert after["error"] == 0


def test_captions_tells_eight_pictures_by_heart(tmp_path: Path) -> None:
    """Each with a sentence that is true of it: of several that are, any."""
    system = page(find("captions")).system
    knobs = changed(system.presets["quick"], {"pictures": 64, "forget": 0.0, "dropout": 0.0, "width": 16}, "captions")
    place = Place(torch.device("cpu"), 0)
    data: Data[Any] = system.prepare(knobs, place)
    eight: Any = Held(next(data.train.sweep(8)), place, "eight", "train")
    model = system.build(knobs, data.facts)
    before = evaluate(model, system.loss, eight)["loss"]
    with Run(tmp_path, place, plan="exact") as run:
        optimizer = Muon(model.parameters(), knobs.lr)  # the page's own: with Adam one in eight stays half told
        fit(model, system.loss, eight, run, steps=300, batch=8, optimizer=optimizer, schedule=cosine(300))
    scores = system.score(knobs, model, data._replace(test=eight), place)
    assert before > 2
    assert scores["exact"].value == 100
    assert scores["bleu"].value > 99
