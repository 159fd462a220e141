"""Nine rules against torch.optim and NumPy; surfaces against calculus and the literature; the cases against theory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.config import changed
from milestones.core.errors import UserError
from milestones.core.run import Run
from milestones.core.source import Choice, Place
from milestones.media import Listing, Row, Surface
from milestones.parts.formula import parse
from milestones.parts.muon import orthogonal
from milestones.parts.race import AWAY, Points, Race
from milestones.parts.surfaces import SURFACES, curvatures, minima, slopes
from milestones.systems.descent import BEST, CASES, RULES, Knobs, build, prepare, score, system, train, use

CPU = torch.device("cpu")


def down(races: list[Race], steps: int, grounds: Any = SURFACES) -> Points:
    """The races run to their end."""
    points = Points({race.surface: grounds[race.surface] for race in races}, races, RULES, steps, 0.01)
    points.begin(torch.zeros(0, 2))
    for _ in range(steps):
        points.step()
    return points


def trained(knobs: Knobs, folder: Path, seed: int = 0) -> tuple[Points, Any]:
    place = Place(CPU, seed)
    data = prepare(knobs, place)
    model = build(knobs, json.loads(json.dumps(data.facts)))
    with Run(folder, place, plan="exact") as run:
        train(knobs, model, data, run)
    return model, data


# The rules


@pytest.mark.parametrize("surface", ["rosenbrock", "himmelblau", "ellipse"])
@pytest.mark.parametrize(
    ("method", "lr", "make"),
    [
        ("descent", 1e-3, lambda p, lr: torch.optim.SGD(p, lr)),
        ("momentum", 1e-4, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
        ("nesterov", 1e-4, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, nesterov=True)),
        ("adagrad", 0.3, lambda p, lr: torch.optim.Adagrad(p, lr)),
        ("rmsprop", 0.02, lambda p, lr: torch.optim.RMSprop(p, lr, alpha=0.9)),
        ("adam", 0.05, lambda p, lr: torch.optim.Adam(p, lr)),
        ("rprop", 0.05, lambda p, lr: torch.optim.Rprop(p, lr)),
    ],
)
def test_rule_is_that_of_torch(surface: str, method: str, lr: float, make: Any) -> None:
    start, steps = (-0.7, 1.3), 40
    points = down([Race(method, surface, start, lr, 0.9)], steps)
    point = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer, formula = make([point], lr), parse(SURFACES[surface].formula)
    for step in range(steps):
        assert points.path[step, 0, :2].tolist() == pytest.approx(point.tolist(), rel=1e-6, abs=1e-9), step
        optimizer.zero_grad()
        formula(point[:1], point[1:]).sum().backward()
        optimizer.step()


def rosenbrock(x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian by hand."""
    gradient = np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])
    return gradient, np.array([[2 - 400 * (y - 3 * x * x), -400 * x], [-400 * x, 200.0]])


def test_muon_is_a_loop_in_numpy_and_its_direction_that_of_the_filters() -> None:
    points = down([Race("muon", "rosenbrock", (-1.2, 1.0), 0.01, 0.9)], 60)
    at, kept = np.array([-1.2, 1.0]), np.zeros(2)
    for step in range(60):
        assert points.path[step, 0, :2].tolist() == pytest.approx(at.tolist(), abs=1e-9)
        gradient = rosenbrock(*at)[0]
        kept = 0.9 * kept + gradient
        ahead = gradient + 0.9 * kept
        at = at - 0.01 * ahead / np.hypot(*ahead)
    vector = torch.tensor([[3.0, -4.0]])
    (turned,) = orthogonal([vector])  # five rounds of Newton-Schulz are near the nearest orthogonal matrix
    assert torch.allclose(turned / turned.norm(), vector / 5, atol=1e-5)
    assert 0.6 < float(turned.norm()) < 1.2


def test_newton_is_a_loop_in_numpy() -> None:
    points = down([Race("newton", "rosenbrock", (-1.2, 1.0), 1.0)], 8)
    at = np.array([-1.2, 1.0])
    for step in range(8):
        assert points.path[step, 0, :2].tolist() == pytest.approx(at.tolist(), abs=1e-9)
        gradient, hessian = rosenbrock(*at)
        at = at - np.linalg.solve(hessian, gradient)
    assert points.ended()[0].steps is not None


def test_newton_ends_a_quadratic_in_one_step_and_is_drawn_to_saddles() -> None:
    races = [Race("newton", "ellipse", (2.3, -1.1), 1.0), Race("newton", "saddle", (-1.0, 0.3), 1.0)]
    points = down(races, 40)
    assert points.path[1, 0, :2].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert points.ended()[0].steps == 1
    assert points.ended()[1].end == "saddle point"


def test_all_at_once_is_each_alone() -> None:
    races = [Race(method, name, (0.4, 0.3), 1.0 if method == "newton" else 0.004, 0.9)
             for method in RULES for name in SURFACES]  # fmt: skip
    together = down(races, 25)
    for n in range(0, len(races), 7):
        alone = down([together.races[n]], 25)
        assert torch.allclose(alone.point[0], together.point[n], rtol=1e-9, atol=1e-12), together.races[n]
        assert alone.ended()[0].end == together.ended()[n].end


# The surfaces


@pytest.mark.parametrize("name", SURFACES)
def test_slopes_are_those_of_differences(name: str) -> None:
    formula, h = parse(SURFACES[name].formula), 1e-5
    point = torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4 - 2
    value, gradient, hessian = slopes(formula, point, curved=True)
    assert torch.allclose(value, formula(point[:, 0], point[:, 1]), rtol=1e-12)
    for d in range(2):
        to, back = (slopes(formula, point + sign * h * torch.eye(2, dtype=torch.float64)[d]) for sign in (1, -1))
        assert torch.allclose((to[0] - back[0]) / (2 * h), gradient[:, d], rtol=1e-5, atol=1e-5)
        assert torch.allclose((to[1] - back[1]) / (2 * h), hessian[:, :, d], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SURFACES)
def test_stated_minima_are_minima_and_there_are_no_others(name: str) -> None:
    ground, formula = SURFACES[name], parse(SURFACES[name].formula)
    spots = torch.tensor([*ground.lowest, *ground.local], dtype=torch.float64)
    value, gradient, hessian = slopes(formula, spots, curved=True)
    assert float(gradient.abs().max()) < 1e-6
    assert float(torch.linalg.eigvalsh(hessian).min()) > 0
    lowest, local = value[: len(ground.lowest)], value[len(ground.lowest) :]
    assert float(lowest.max() - lowest.min()) < 1e-9
    assert not len(local) or float(local.min() - lowest.max()) > 0.1
    found = minima(formula, ground.window)
    for kind, stated in (("lowest", ground.lowest), ("local", ground.local)):
        spots = [sorted((round(x, 5) + 0.0, round(y, 5) + 0.0) for x, y in where) for where in (found[kind], stated)]
        assert spots[0] == spots[1], kind
    x, to_x, y, to_y = ground.window
    assert x < ground.start[0] < to_x and y < ground.start[1] < to_y


@pytest.mark.parametrize(
    ("name", "lowest"),
    [("rosenbrock", 0.0), ("beale", 0.0), ("himmelblau", 0.0), ("styblinski", -78.33233), ("rastrigin", 0.0)],
)
def test_values_of_the_literature(name: str, lowest: float) -> None:
    x, y = SURFACES[name].lowest[0]
    value = parse(SURFACES[name].formula)(torch.tensor([float(x)]).double(), torch.tensor([float(y)]).double())
    assert float(value) == pytest.approx(lowest, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "lowest", "local"),
    [("x^2", [(0, 0)], []), ("(x-1)^2 + y^4", [(1, 0)], []), ("x + y", [], []), ("-x^2 - y^2", [], []),
     ("x^2 - y^2", [], []), ("x^4 - 8x^2 + x + y^2", [(-2.030672, 0)], [(1.968052, 0)]), ("log(x) + y^2", [], [])],
)  # fmt: skip
def test_minima_of_any_formula(text: str, lowest: list[Any], local: list[Any]) -> None:
    found = minima(parse(text), (-3, 3, -3, 3))
    assert found["lowest"] == [pytest.approx(spot, abs=2e-3) for spot in lowest]
    assert found["local"] == [pytest.approx(spot, abs=2e-3) for spot in local]


# The cases of the lecture, each against what theory says of its path


@pytest.fixture(scope="module")
def cases() -> dict[str, tuple[Race, Any, np.ndarray]]:
    points = down(list(CASES), Knobs().steps)
    ended = points.ended()
    return {race.case: (race, ended[n], points.path[:, n].numpy()) for n, race in enumerate(points.races)}


def test_each_case_is_what_its_name_says(cases: dict[str, Any]) -> None:
    assert set(cases) >= {"convergence", "slow convergence", "zig-zag", "divergence", "flat spot", "steep valley",
                          "local minimum", "global minimum"}  # fmt: skip
    for name, (_, ended, _) in cases.items():
        assert name in (ended.way, ended.end), ended


def test_convergence_is_slow_as_the_condition_number_says(cases: dict[str, Any]) -> None:
    low, high = curvatures(SURFACES["ellipse"])
    assert (low, high) == pytest.approx((1, 20))
    for name, rate in (("convergence", 1 - 0.2), ("slow convergence", 1 - 0.01)):
        race, ended, path = cases[name]
        assert path[:, 0] == pytest.approx(race.start[0] * rate ** np.arange(len(path)), abs=1e-12)
        assert (np.diff(path[:-1, 2]) <= 0).all(), "the value never rises"
        assert ended.turns == 0
    assert cases["slow convergence"][1].steps > 10 * cases["convergence"][1].steps


def test_zig_zag_turns_at_each_step_and_arrives(cases: dict[str, Any]) -> None:
    race, ended, path = cases["zig-zag"]
    assert 1 / 20 < race.lr < 2 / 20  # beyond 1/b each step goes past the floor, below 2/b less far each time
    assert (path[:40, 1] * path[1:41, 1] < 0).all()
    assert ended.turns > 95 and ended.end == "global minimum"


def test_divergence_begins_at_two_over_the_largest_curvature(cases: dict[str, Any]) -> None:
    race, ended, path = cases["divergence"]
    assert race.lr > 2 / 20
    assert ended.end == "lost" and ended.way == "divergence"
    assert np.abs(path[-1, :2]).max() <= AWAY * SURFACES["ellipse"].width, "it stays where it was lost"
    below, above = down([Race("descent", "ellipse", (1.0, 1.0), lr) for lr in (0.099, 0.101)], 1500).ended()
    assert (below.end, above.end) == ("global minimum", "lost")


def test_flat_spot_has_no_slope_to_speak_of(cases: dict[str, Any]) -> None:
    race, ended, path = cases["flat spot"]
    slope = slopes(parse(SURFACES["plateau"].formula), torch.from_numpy(path[:, :2]).contiguous())[1].norm(dim=1)
    assert float(slope.max()) < 2e-3
    assert math.dist(path[-1, :2], race.start) < 0.05 * SURFACES["plateau"].width
    assert ended.steps is None


def test_steep_valley_throws_the_point_out_again_and_again(cases: dict[str, Any]) -> None:
    _, ended, path = cases["steep valley"]
    inside = np.abs(path[:, 1]) < 0.1
    thrown = (inside[:-1] & (np.abs(path[1:, 1]) > 0.2)).sum()
    assert thrown > 20 and ended.rises > 10 and ended.steps is None
    still = down([Race("rprop", "steep", (-2.4, 1.1), 0.06)], Knobs().steps).ended()[0]
    assert still.steps is not None, "a rule that shortens its steps settles there"


def test_local_and_global_minimum(cases: dict[str, Any]) -> None:
    ground = SURFACES["styblinski"]
    (_, local, there), (_, lowest, here) = cases["local minimum"], cases["global minimum"]
    assert any(math.dist(there[-1, :2], spot) < 1e-6 for spot in ground.local)
    assert math.dist(here[-1, :2], ground.lowest[0]) < 1e-6
    assert local.value > lowest.value + 10 and local.distance > 1 > lowest.distance


# Polyak's rates


@pytest.mark.parametrize(
    ("method", "percent"), [("descent", 100 * 19 / 21), ("momentum", 63.4512), ("nesterov", 74.3926)]
)
def test_best_rates_shrink_the_distance_as_theory_says(method: str, percent: float, tmp_path: Path) -> None:
    knobs = changed(system.presets["paper"], {"method": method}, "descent")
    model, data = trained(knobs, tmp_path)
    found = score(knobs, model, data, Place(CPU, 0))
    name = next(iter(found))
    assert name == f"left_{method}"
    assert found[name].paper == pytest.approx(percent, abs=1e-4)
    assert found[name].value == pytest.approx(percent, abs=0.25)
    assert found[name].comparable


def test_no_other_rate_is_better() -> None:
    lr, _, left = BEST["descent"](1.0, 20.0)
    races = [Race("descent", "ellipse", (1.0, 1.0), lr * times) for times in (0.9, 1.0, 1.04)]
    points = down(races, 400)
    slow, best, fast = (points.left(n) for n in range(3))
    assert best == pytest.approx(100 * left, abs=0.01) and slow > best + 0.5 and fast > best + 0.5


# The page


def test_quick_shows_every_case_and_surface(tmp_path: Path) -> None:
    knobs = Knobs(steps=60, starts=7)
    model, data = trained(knobs, tmp_path)
    names = {path.name.split("-", 2)[2] for path in (tmp_path / "shows").iterdir()}
    for name in SURFACES:
        for part in ("1 by the gradient", "2 by its sign or scale", "3 value by", "4 value by"):
            assert any(show.startswith(f"surface {name}, {part}") for show in names)
    assert sum(show.startswith("case ") for show in names) == len(CASES)
    table = json.loads(next((tmp_path / "shows").glob("*-cases.json")).read_text())["value"]
    assert [row[0] for row in table["cells"]] == [race.case for race in CASES]
    scores = score(knobs, model, data, Place(CPU, 0))
    assert scores["reached"].over == 7 * len(RULES) * len(SURFACES)
    assert scores["cases"].over == len(CASES)


def test_a_rate_and_a_start_of_ones_own(tmp_path: Path) -> None:
    knobs = Knobs(surface="rosenbrock", method="adam", lr=0.01, start=(0.5, -0.5), steps=20)
    model, _ = trained(knobs, tmp_path)
    assert model.drawn == [0] and model.races[0][:4] == ("adam", "rosenbrock", (0.5, -0.5), 0.01)
    assert torch.equal(model.path[0, 0, :2], torch.tensor([0.5, -0.5], dtype=torch.float64))


def test_a_formula_of_ones_own(tmp_path: Path) -> None:
    knobs = Knobs(formula="(x-1)^2 + 10*(y+1)^2", start=(2.0, 1.0), steps=200)
    model, data = trained(knobs, tmp_path)
    assert [*data.facts["grounds"]["formula"]["lowest"]] == [pytest.approx((1, -1), abs=1e-9)]
    ended = {race.method: one for race, one in zip(model.races, model.ended(), strict=True) if race.start}
    assert ended["newton"].steps == 1 and ended["descent"].end == "global minimum"
    (tmp_path / "one").mkdir()
    flat, _ = trained(Knobs(formula="(x - 2)^2", method="newton", steps=3), tmp_path / "one")
    assert flat.point[0].tolist() == pytest.approx([2, 1])  # y of the start: nothing pulls at it


def test_what_has_no_value_is_lost_and_everything_stays_finite(tmp_path: Path) -> None:
    model, _ = trained(Knobs(formula="x*log(x) - 3*y^3", start=(0.3, 0.5), lr=5.0, steps=50), tmp_path)
    assert int(model.lost.sum()) > 0
    assert all(bool(torch.isfinite(t).all()) for t in model.state_dict().values() if t.is_floating_point())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"formula": "x + z"}, "got the name 'z' at column 5. Write it as"),
        ({"formula": "__import__('os').system('id')"}, "got the name '__import__' at column 1"),
        ({"formula": "3"}, "a formula in x or y, got the number 3"),
        ({"formula": "log(x)", "start": (-1.0, 0.0)}, r"a value and a slope at \(-1, 0\), got nan. Start elsewhere"),
        ({"formula": "x", "surface": "bowl"}, "a surface or a formula, got bowl and a formula"),
        ({"start": (1.0,)}, r"two numbers for start, four for window, got \[1.0\]"),
        ({"window": (1.0, 2.0)}, r"four for window, got \[1.0, 2.0\]"),
        ({"window": (1.0, 1.0, 0.0, 2.0)}, "a window from low to high"),
    ],
)
def test_bad_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        prepare(Knobs(**settings), Place(CPU, 0))


def test_no_data_is_taken() -> None:
    with pytest.raises(UserError, match="no --data: this page descends surfaces"):
        prepare(Knobs(), Place(CPU, 0, choice=Choice("some.csv")))


def test_a_formula_edited_in_a_run_folder_goes_through_the_same_parser(tmp_path: Path) -> None:
    from milestones.catalog import load
    from milestones.verbs.execute import Order, begin, go_on

    folder = begin("descent", {"formula": "x^2 + y^2", "steps": 4, "method": "adam"}, Order(), tmp_path).folder
    assert isinstance(load(str(folder)).use([Row({"x": 1, "y": 2})])[0]["steps to the global minimum"], Listing)
    config = json.loads((folder / "config.json").read_text())
    config["config"]["formula"] = "__import__('os').system('id')"
    (folder / "config.json").write_text(json.dumps(config))
    for act in (lambda: load(str(folder)), lambda: go_on(folder, "", None, print)):
        with pytest.raises(UserError, match="got the name '__import__' at column 1"):
            act()


def test_use_from_starts_of_ones_own() -> None:
    knobs = Knobs(surface="himmelblau", steps=150)
    data = prepare(knobs, Place(CPU, 0))
    model = build(knobs, json.loads(json.dumps(data.facts)))
    rows = [Row({"x": 2.5, "y": 1.5}), Row({"x": "-3", "y": "3"}), Row({"x": 2.5, "y": 1.5})]
    answers = use(model, data.facts, rows)
    assert [one.plain() for one in answers[0].values()] == [one.plain() for one in answers[2].values()]
    first, second = (answer["surface himmelblau, 1 by the gradient"] for answer in answers[:2])
    assert isinstance(first, Surface)
    ends = [next(iter(one.paths.values()))[-1] for one in (first, second)]
    assert ends[0] == pytest.approx((3, 2), abs=0.05) and ends[1] == pytest.approx((-2.805, 3.131), abs=0.05)
