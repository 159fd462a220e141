"""logic: circuits against all worlds, slopes against differences, groups that share no picture, and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Held, Place, keyed
from milestones.data.told import Told, told
from milestones.media import Image
from milestones.parts import logic as parts
from milestones.parts.logic import Circuit, Program
from milestones.systems.logic import PROGRAMS, Knobs, chances, column, loss, system

PLACE = Place(torch.device("cpu"), 0)
VALUES = {"sum": range(10), "product": range(6), "larger": [3, 5, 11], "numbers": range(10)}


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILESTONES_DATA", raising=False)


def digits(path: Path, labels: list[Any], count: int = 60) -> Path:
    """Embedded digits as an .npz, with these labels in turn."""
    import milestones.data

    with np.load(Path(milestones.data.__file__).with_name("digits10k.npz")) as archive:
        np.savez(path, image=archive["image"][:count], label=np.resize(np.array(labels), count))
    return path


def prepared(path: Any = "", **settings: Any) -> Any:
    place = PLACE._replace(choice=Choice(str(path)))
    return system.prepare(changed(Knobs(), settings, "logic"), place)


def log_chances(b: int, p: int, k: int) -> Tensor:
    return torch.randn(b, p, k, generator=keyed(b, p, k)).double().log_softmax(-1)


def by_worlds(program: Program, values: Any, chance: Tensor) -> list[dict[int | str, float]]:
    """The chance of each answer, one world after the other."""
    found: list[dict[int | str, float]] = []
    for row in chance.exp().tolist():
        sums: dict[int | str, float] = {}
        for world in itertools.product(range(len(values)), repeat=len(row)):
            answer = program([values[v] for v in world])
            sums[answer] = sums.get(answer, 0.0) + math.prod(row[p][v] for p, v in enumerate(world))
        found.append(sums)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_circuit_sums_over_all_worlds(name: str) -> None:
    program, values = PROGRAMS[name], list(VALUES[name])
    chance = log_chances(2, len(program.order), len(values))
    circuit = Circuit(program, values)
    found = circuit(chance).exp()
    assert torch.allclose(found.sum(1), torch.ones(2).double()), "one answer in each world"
    for row, true in zip(found.tolist(), by_worlds(program, values, chance), strict=True):
        assert circuit.answers == sorted(true, key=lambda one: (isinstance(one, str), one))
        assert row == pytest.approx([true[answer] for answer in circuit.answers], rel=1e-9)


def test_any_function_is_a_program() -> None:
    """Worlds that nothing merges: a state that keeps all."""
    program = Program("the middle one", (2, 0, 1), (), lambda state, k, value: (*state, value),
                      lambda state: sorted(state)[1])  # fmt: skip
    chance = log_chances(3, 3, 4)
    found, true = Circuit(program, [7, 1, 4, 2])(chance).exp(), by_worlds(program, [7, 1, 4, 2], chance)
    for row, sums in zip(found.tolist(), true, strict=True):
        assert row == pytest.approx([sums[answer] for answer in (1, 2, 4, 7)], rel=1e-9)


def test_programs_are_what_they_say() -> None:
    for a, b in itertools.product(range(10), repeat=2):
        assert PROGRAMS["sum"]([a, b]) == a + b
        assert PROGRAMS["product"]([a, b]) == a * b
        assert PROGRAMS["larger"]([a, b]) == ("the first" if a > b else "the second" if b > a else "neither")
    for a, b in itertools.product(range(100), repeat=2):
        assert PROGRAMS["numbers"]([a // 10, a % 10, b // 10, b % 10]) == a + b


def test_a_column_is_carried() -> None:
    assert column((0, 0), 0, 7) == (7, 0)
    assert column((7, 0), 1, 8) == (1, 5), "15: the 5 is written, the 1 is carried"
    assert column((1, 5), 2, 9) == (10, 5)
    assert column((10, 5), 3, 9) == (1, 95)


def test_few_states_stand_for_many_worlds() -> None:
    circuit = Circuit(PROGRAMS["numbers"], range(10))
    edges = sum(len(getattr(circuit, f"source_{k}")) for k in range(4))
    assert edges < 2500 < 10**4, "fewer than worlds"
    assert circuit.answers == list(range(199))


def test_gradient_by_finite_differences() -> None:
    circuit = Circuit(PROGRAMS["sum"], range(4))
    chance = log_chances(2, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(circuit, (chance,))
    circuit = Circuit(PROGRAMS["numbers"], range(3))
    assert torch.autograd.gradcheck(circuit, (log_chances(1, 4, 3).requires_grad_(),))


@pytest.mark.parametrize("name", PROGRAMS)
def test_posterior_is_bayes(name: str) -> None:
    program, values = PROGRAMS[name], list(VALUES[name])[:4]
    chance, circuit = log_chances(1, len(program.order), len(values)), Circuit(program, values)
    for number, answer in enumerate(circuit.answers):
        joint = torch.zeros_like(chance[0])
        for world in itertools.product(range(len(values)), repeat=len(program.order)):
            if program([values[v] for v in world]) == answer:
                p = math.prod(float(chance[0, k, v].exp()) for k, v in enumerate(world))
                for k, v in enumerate(world):
                    joint[k, v] += p
        with torch.inference_mode():  # as `use` asks
            found = circuit.posterior(chance, torch.tensor([number]))[0]
        assert torch.allclose(found, joint / joint.sum(1, keepdim=True))


def test_a_chance_near_zero_is_a_finite_logarithm() -> None:
    chance = torch.tensor([[[0.0, -900.0], [0.0, -900.0]]], requires_grad=True)
    found = Circuit(PROGRAMS["sum"], range(2))(chance)
    assert found[0].tolist() == pytest.approx([0.0, -900 + math.log(2), -1800.0])
    found[0, 2].backward()
    assert chance.grad is not None
    assert chance.grad[0].tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_too_many_states_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    every = Program("all", (0, 1), 0, lambda state, k, value: 10 * state + value, str)
    monkeypatch.setattr(parts, "MOST", 30)
    with pytest.raises(ValueError, match="36 edges for picture 2"):
        Circuit(every, range(6))
    place = PLACE._replace(choice=Choice(str(digits(tmp_path / "six.npz", [0, 1, 2, 3, 4, 5]))))
    with pytest.raises(UserError, match="a program of few states for 6 classes, got 36 edges for picture 2"):
        told(place, every)


def test_groups_share_no_picture_and_tell_the_truth() -> None:
    data = prepared()
    assert [len(source) for source in data[:3]] == [4000, 1000, 1000]
    assert (data.facts["pictures"], data.facts["answers"]) == (2, [str(k) for k in range(19)])
    seen: list[set[bytes]] = []
    for source in data[:3]:
        image, digit, answer = source.examples
        assert torch.equal(digit.sum(1), answer)
        seen.append({one.numpy().tobytes() for one in image.flatten(0, 1)})
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert len(seen[0]) == 8000, "each training picture is in one group"
    image, digit, _ = data.test.examples
    assert len({one.numpy().tobytes() for one in image[:, 0]}) == 1000, "each test picture is first once"
    assert torch.equal(image[1:, 0], image[:-1, 1]) and torch.equal(image[0, 0], image[-1, 1])
    assert torch.equal(digit[1:, 0], digit[:-1, 1])


def test_a_seed_groups_training_pictures_and_not_test_pictures() -> None:
    one, two = (told(PLACE._replace(seed=seed), PROGRAMS["numbers"], 50) for seed in (0, 1))
    assert len(one.train) == len(two.train) == 50
    assert not torch.equal(one.train.examples.image, two.train.examples.image)
    assert torch.equal(one.test.examples.image, two.test.examples.image)
    assert one.test.examples.image.shape[1:] == (4, 1, 28, 28)
    assert json.loads(json.dumps(one.facts)) == one.facts and "counts" not in one.facts


def test_digits_of_training_are_never_read(tmp_path: Path) -> None:
    """With false digits beside the same sums, each weight comes out the same."""
    knobs = changed(Knobs(), {"examples": 40, "steps": 6, "batch": 8}, "logic")
    weights = []
    for lie in (False, True):
        data = system.prepare(knobs, PLACE)
        if lie:
            parts_ = [Held(s.examples._replace(digit=s.examples.digit.flip(0)), PLACE, s.name, s.split, s.augment)
                      for s in data[:3]]  # fmt: skip
            data = data._replace(train=parts_[0], valid=parts_[1], test=parts_[2])
        folder = tmp_path / str(lie)
        folder.mkdir()
        with Run(folder, PLACE, "exact") as run:
            run.seed("build")
            model = system.build(knobs, data.facts)
            system.train(knobs, model, data, run)
        weights.append(model.state_dict())
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_only_training_pictures_are_distorted() -> None:
    data = prepared(examples=20)
    first = data.train.batch(0, 20)
    assert first.image.shape == (20, 2, 1, 28, 28) and first.image.dtype == torch.uint8
    plain = {one.numpy().tobytes() for one in data.train.examples.image.flatten(0, 1)}
    assert not {one.numpy().tobytes() for one in first.image.flatten(0, 1)} & plain
    assert torch.equal(next(data.valid.sweep(1000)).image, data.valid.examples.image)


class Sure(torch.nn.Module):
    """Reads the digit that a picture's first pixel names, or what `wrong` says in its place."""

    def __init__(self, circuit: Circuit, wrong: dict[int, int]) -> None:
        super().__init__()
        self.circuit, self.wrong, self.direct = circuit, wrong, None

    def forward(self, image: Tensor) -> Tensor:
        digit = image[:, 0, 0, 0].long()
        for true, said in self.wrong.items():
            digit = torch.where(image[:, 0, 0, 0] == true, said, digit)
        return 20.0 * torch.nn.functional.one_hot(digit, 10)


def pixels(digit: Tensor) -> Tensor:
    image = torch.zeros(*digit.shape, 1, 28, 28, dtype=torch.uint8)
    image[..., 0, 0, 0] = digit
    return image


def test_scores_count_digits_once_and_groups_that_share_none() -> None:
    data = prepared()
    digit = torch.tensor([3, 1, 4, 1, 5])
    group = torch.stack([digit, digit.roll(-1)], 1)
    test = Held(Told(pixels(group), group, group.sum(1)), PLACE, "five", "test")
    model = Sure(Circuit(PROGRAMS["sum"], range(10)), {4: 9})
    scores = system.score(Knobs(direct=False), model, data._replace(test=test), PLACE)
    assert set(scores) == {"error", "answer_error"}
    assert (scores["error"].value, scores["error"].over) == (20.0, 5)
    assert (scores["answer_error"].value, scores["answer_error"].over) == (50.0, 2), "3+1, 4+1; not 5+3"


def test_loss_is_that_of_the_sum() -> None:
    model = Sure(Circuit(PROGRAMS["sum"], range(10)), {})
    group = torch.tensor([[3, 5], [9, 9]])
    right = loss(model, Told(pixels(group), group, torch.tensor([8, 18])))
    assert float(right["loss"]) < 1e-5 and float(right["error"]) == 0
    wrong = loss(model, Told(pixels(group), group, torch.tensor([8, 17])))
    assert float(wrong["loss"]) > 5 and float(wrong["error"]) == 50
    assert chances(model, pixels(group)).shape == (2, 2, 10)


def ink(digit: int) -> Image:
    """A bar of this width; what it shows does not matter."""
    page = np.full((40, 40), 255, np.uint8)
    page[8:32, 12 : 14 + 5 * digit] = 0
    return Image(page)


def made() -> tuple[Any, Any]:
    data = prepared(examples=10)
    torch.manual_seed(0)
    return system.build(changed(Knobs(), {"examples": 10}, "logic"), data.facts).eval(), data.facts


def test_use_alone_together_and_told() -> None:
    model, facts = made()
    images = [ink(k) for k in range(4)]
    with torch.inference_mode():
        alone = system.use(model, facts, images)
        both = system.use(model, facts, images, together=True)
        zero = system.use(model, facts, images, tell="0")
    assert [one["answer"] for one in alone] == [one["answer"] for one in both]
    assert len(both[0]["together"].labels) == 19 and both[0]["together"] == both[1]["together"] != both[2]["together"]
    assert sum(both[0]["together"].chances) == pytest.approx(1, abs=1e-5)
    assert [one["answer"].best for one in zero] == ["0"] * 4, "only 0 + 0 is 0"
    assert zero[0]["answer"].chances[0] == pytest.approx(1) and zero[0]["alone"] == alone[0]["answer"]


def test_use_refuses_what_no_program_says() -> None:
    model, facts = made()
    with pytest.raises(UserError, match=r"pictures in groups of 2, got 3 pictures\. Name them in the program's order"):
        system.use(model, facts, [ink(0)] * 3, together=True)
    with pytest.raises(UserError, match=r"expected --tell as one of 0, 1, \.\.\. 18, got '19'"), torch.inference_mode():
        system.use(model, facts, [ink(0)] * 2, tell="19")


def test_labels_that_are_no_numbers(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    for name in ("1", "two"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(4):
            level = np.full((9, 9), 10 * k + len(name), np.uint8)
            Pillow.fromarray(level).save(tmp_path / "photos" / name / f"{k}.png")
    with pytest.raises(UserError, match="classes that are whole numbers of up to six digits, got 'two'"):
        prepared(tmp_path / "photos")


def test_one_class_and_pictures_without_any(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pictures of at least two classes, got 1 in"):
        prepared(digits(tmp_path / "same.npz", [7]))
    (tmp_path / "loose").mkdir()
    with pytest.raises(UserError, match="pictures of at least two classes, got 0 in"):
        prepared(tmp_path / "loose")


def test_numbers_are_written_in_digits(tmp_path: Path) -> None:
    path = digits(tmp_path / "tens.npz", [0, 10, 20])
    with pytest.raises(UserError, match="digits 0 to 9, of which numbers are written, got 10 among the classes"):
        prepared(path, program="numbers")
    assert prepared(path).facts["answers"] == ["0", "10", "20", "30", "40"], "sums of any whole numbers"


def test_too_few_for_one_group(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"4 pictures or more in each split, for one group, got 2 of valid in few"):
        prepared(digits(tmp_path / "few.npz", [1, 2], 16), program="numbers")


def test_a_net_beside_it_is_a_choice() -> None:
    data = prepared(examples=10)
    with_one, without = (system.build(Knobs(direct=direct), data.facts) for direct in (True, False))
    assert without.direct is None and with_one.direct is not None
    assert sum(p.numel() for p in without.parameters()) == 44_426, "the paper's net"
    assert copy.deepcopy(with_one).circuit.answers == list(range(19))
