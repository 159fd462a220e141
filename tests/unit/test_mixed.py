"""Tables with gaps, as the circuit reads them: what is missing stays missing, what was never seen is said, and
bad cells are named."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Data, Place, keyed
from milestones.data.mixed import Mixed, coarse, gaps, mixed
from milestones.media import Listing, Number, Ranking, Row, Text
from milestones.report.checks import data_checks
from milestones.systems.circuit import HCLT, Knobs, build, likelihood, prepare, read, score, use

KNOBS = Knobs(states=3, batch=50, smooth=1e-2)


def place(path: Path, target: str) -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(str(path), target))


def flats(path: Path, n: int = 300) -> Path:
    """Flats: size (a tenth missing), town (some missing), always one country, nothing in `blank`, price, and a kind
    that size and town tell."""
    rng = np.random.default_rng(0)
    lines = ["size,town,country,blank,price,kind"]
    for i in range(n):
        kind = int(rng.integers(2))
        size = rng.normal(40 + 60 * kind, 8)
        town = ("Rome", "Oslo", "?")[int(rng.choice(3, p=[0.8, 0.1, 0.1] if kind else [0.1, 0.8, 0.1]))]
        told = "" if i % 10 == 3 else f"{size:.2f}"
        lines.append(f"{told},{town},Norway,,{size * 3 + rng.normal(0, 9):.2f},{'ab'[kind]}")
    path.write_text("\n".join(lines) + "\n")
    return path


def taught(path: Path, target: str) -> tuple[HCLT, Data[Mixed]]:
    data = prepare(KNOBS, place(path, target))
    model = build(KNOBS, data.facts)
    classes = model.circuit.classes > 1
    first = data.train.batch(0, 200)
    model.circuit.begin(first.value, first.label if classes else None, keyed(0))
    for step in range(60):
        batch = data.train.batch(step, KNOBS.batch)
        model.circuit.learn(batch.value, batch.label if classes else None, 0.3)
    model.usual.copy_(likelihood(model, data.valid).quantile(torch.linspace(0, 1, len(model.usual))))
    return model, data


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[HCLT, Data[Mixed]]:
    return taught(flats(tmp_path_factory.mktemp("flats") / "flats.csv"), "kind")


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    data = mixed(place(flats(tmp_path / "flats.csv"), "kind"))
    assert data.facts["fields"] == ["size", "town", "price"], "one value, or none, tells nothing"
    assert "'country' dropped: one value" in data.facts["data"]["note"]
    assert "'blank' dropped: empty" in data.facts["data"]["note"]
    assert data.facts["sizes"] == [0, 2, 0]
    value = torch.cat([next(iter(part.sweep(1000))).value for part in data[:3]])
    assert int(value[:, 0].isnan().sum()) == 30, "each tenth size"
    assert 15 < int(value[:, 1].isnan().sum()) < 45 and not value[:, 2].isnan().any()
    assert set(value[:, 1][~value[:, 1].isnan()].tolist()) == {0.0, 1.0}


def test_a_target_of_numbers_is_one_more_column(tmp_path: Path) -> None:
    data = mixed(place(flats(tmp_path / "flats.csv"), "price"))
    assert data.facts["fields"] == ["size", "town", "kind", "price"] and data.facts["sizes"] == [0, 2, 2, 0]
    row = gaps(data.facts, [Row({"size": 50, "town": "Rome", "kind": "a", "price": 7})])
    assert row[0, 3].isnan() and row[0, 0] == 50, "what is asked for is not told"


def test_any_cell_of_the_users_may_be_empty(kinds: tuple[HCLT, Data[Mixed]]) -> None:
    rows = [Row({"size": None, "town": "", "price": " NA "}), Row({"size": 0, "town": "Oslo", "price": "0"})]
    found = gaps(kinds[1].facts, rows)
    assert found[0].isnan().all(), "also where training had no gap"
    assert found[1, 0] == 0 and found[1, 2] == 0, "zero is a number"


def test_gaps_do_not_make_rows_look_alike(kinds: tuple[HCLT, Data[Mixed]]) -> None:
    found = data_checks(KNOBS, kinds[1])["train"]
    size = next(iter(kinds[1].train.sweep(1000))).value
    assert found["moving"] > 1 and found["mean"] == pytest.approx(float(size.nanmean()), rel=1e-2)


def test_numbers_are_binned_for_the_tree_alone() -> None:
    value = torch.tensor([[0.0, 1], [1, 0], [2, math.nan], [math.nan, 1], [4, 0], [5, 1]])
    code, sizes = coarse(value, [0, 2], 2)
    assert sizes == [2, 2]
    assert code[:, 0].tolist() == [0, 0, 0, -1, 1, 1] and code[:, 1].tolist() == [1, 0, -1, 1, 0, 1]
    assert coarse(torch.full((3, 1), math.nan), [0], 4)[0].eq(-1).all()


def test_it_learns_the_classes_and_fills_what_is_missing(kinds: tuple[HCLT, Data[Mixed]]) -> None:
    model, data = kinds
    scores = score(KNOBS, model, data, place(Path(), ""))
    assert scores["error"].value <= 10
    assert scores["nll"].low <= scores["nll"].value <= scores["nll"].high and "exact" in scores["nll"].note
    large = Row({"size": None, "town": "Rome", "price": 300})
    answer = use(model, data.facts, [large])[0]
    assert isinstance(answer["answer"], Ranking) and answer["answer"].plain()[0]["label"] == "b"
    filled = answer["filled"]
    assert isinstance(filled, Listing) and filled.cells[0][0] == "size"
    assert 85 < float(str(filled.cells[0][1])) < 115, "a third of the price"


def test_a_row_is_told_its_likelihood_and_draws_of_its_gaps(kinds: tuple[HCLT, Data[Mixed]]) -> None:
    model, data = kinds
    rows = [Row({"size": None, "town": None, "price": 300}), Row({"size": 100, "town": "Rome", "price": 300})]
    gappy, whole = use(model, data.facts, rows, samples=50)
    for found, row in zip((gappy, whole), gaps(data.facts, rows), strict=True):
        assert isinstance(found["likelihood"], Number), "gaps are summed out"
        assert found["likelihood"].value == pytest.approx(float(model.circuit(row[None]).logsumexp(1)), abs=1e-5)
    drawn = gappy["drawn"]
    assert isinstance(drawn, Listing) and list(drawn.columns) == ["size", "town"] and len(drawn.cells) == 50
    sizes = [float(str(size)) for size, _ in drawn.cells]
    assert 85 < sum(sizes) / 50 < 115 and len(set(sizes)) > 40, "around a third of the price"
    assert [town for _, town in drawn.cells].count("Rome") > 25
    assert "drawn" not in whole and "drawn" not in use(model, data.facts, rows, samples=0)[0]


def test_the_strange_row_and_its_cell_are_named(kinds: tuple[HCLT, Data[Mixed]]) -> None:
    model, data = kinds
    usual, odd = use(model, data.facts, [Row({"size": 100, "town": "Rome", "price": 300}),
                                         Row({"size": 40, "town": "Rome", "price": 300})])  # fmt: skip
    assert isinstance(odd["strange"], Number) and isinstance(usual["strange"], Number)
    assert odd["strange"].value > 95 > usual["strange"].value
    assert str(odd["strangest_cell"]).startswith(("price=300", "size=40"))


def test_what_was_never_seen_is_said_and_read_as_missing(kinds: tuple[HCLT, Data[Mixed]]) -> None:
    model, data = kinds
    new, gap = use(model, data.facts, [Row({"size": 100, "town": "Lima", "price": 300}),
                                       Row({"size": 100, "town": None, "price": 300})])  # fmt: skip
    assert new["never_seen"] == Text("town=Lima") and "never_seen" not in gap
    assert str(new["answer"]) == str(gap["answer"])


def test_what_cannot_be_is_answered_so(kinds: tuple[HCLT, Data[Mixed]]) -> None:
    model, data = kinds
    answers = use(model, data.facts, [Row({"size": 1e29, "town": "Rome", "price": 1}),
                                      Row({"size": 100, "town": "Rome", "price": 300})])  # fmt: skip
    assert "impossible" in str(answers[0]["answer"]) and "impossible" not in str(answers[1]["answer"])


def test_a_target_of_numbers_is_its_expectation(tmp_path: Path) -> None:
    model, data = taught(flats(tmp_path / "flats.csv"), "price")
    answer = use(model, data.facts, [Row({"size": 100, "town": "Rome", "kind": "b"})])[0]["answer"]
    assert isinstance(answer, Number) and answer.unit == "price" and 240 < answer.value < 350
    found = score(KNOBS, model, data, place(Path(), ""))
    assert {"nll", "mae"} <= set(found) and found["mae"].value < 60


def test_bad_input_gets_one_line(kinds: tuple[HCLT, Data[Mixed]], tmp_path: Path) -> None:
    model, data = kinds
    with pytest.raises(UserError, match="expected a number in 'size', got 'large' in row 1"):
        use(model, data.facts, [Row({"size": "large", "town": "Rome", "price": 1})])
    with pytest.raises(UserError, match="expected a column 'town'"):
        use(model, data.facts, [Row({"size": 1, "price": 1})])
    with pytest.raises(UserError, match="expected a row of a table, as these circuits learned from, got text"):
        read(data.facts, [Text("x")])
    with pytest.raises(UserError, match="expected from 0 to 100 completions, got 101"):
        use(model, data.facts, [], samples=101)
    path = flats(tmp_path / "flats.csv")
    lines = path.read_text().splitlines()
    lines[9] = "big" + lines[9][lines[9].index(",") :]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"expected numbers in 'size', as in its other rows, got 'big' in .* line 10"):
        prepare(KNOBS, place(path, "kind"))
    with pytest.raises(UserError, match=r"expected at most 268,435,456 weights, got .* Take fewer states"):
        build(
            Knobs(states=512, pixels="grey"),
            {"kind": "pictures", "side": 28, "parent": [0] * 784, "labels": ["a"] * 10},
        )


def test_the_same_circuit_over_bits_is_exact() -> None:
    """p(bits) = sum over levels of p(levels) times the chance of those bits, by brute force over two pixels."""
    facts = {"kind": "pictures", "side": 1, "parent": [-1, 0], "labels": ["a", "b"], "sizes": [256, 256]}
    model = build(Knobs(pixels="grey", states=2), facts).double()
    for number, counts in enumerate(model.circuit.parameters()):
        counts.copy_(torch.rand(counts.shape, generator=torch.Generator().manual_seed(number)).double())
    level = torch.arange(256.0).double()
    rows = torch.cartesian_prod(level, level)
    chance = model.circuit(rows).exp()  # 65536 K
    twin = model.through_noise().double()
    for first in (0.0, 1.0):
        for second in (0.0, 1.0):
            on = [rows[:, 0] / 255, rows[:, 1] / 255]
            bit = (on[0] if first else 1 - on[0]) * (on[1] if second else 1 - on[1])
            found = twin.circuit(torch.tensor([[first, second]]).double()).exp()[0]
            assert torch.allclose(found, (chance * bit[:, None]).sum(0), atol=1e-6)
