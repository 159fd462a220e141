"""A table becomes numbers by train alone, columns by name, and each bad cell is named with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place
from milestones.data.tables import row_tensor, table, unknown_categories
from milestones.media import Row, read


def place(data: Path, target: str = "", split: str = "", seed: int = 0) -> Place:
    return Place(torch.device("cpu"), seed, choice=Choice(str(data), target, split))


def homes(path: Path, n: int = 200, order: list[int] | None = None, mark: str = ",") -> Path:
    """Homes: size (some missing), town (some missing), a note of free text, a number, garden, and their price."""
    rng = np.random.default_rng(0)
    rows = [mark.join(("nr", "size", "town", "note", "garden", "price"))]
    for i in range(n):
        size = "" if i % 10 == 3 else f"{rng.uniform(40, 200):.2f}"
        town = ("Rome", "Oslo", "?", "Lima")[int(rng.integers(4))]
        rows.append(mark.join((str(i), size, town, f"text {i}", ("True", "False")[i % 2], f"{rng.normal(9, 2):.3f}")))
    rows[1:] = [rows[1:][i] for i in order or range(n)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_encoding_by_train_alone(tmp_path: Path) -> None:
    path = homes(tmp_path / "homes.csv")
    data = table(place(path, "price"))
    facts = data.facts
    assert (len(data.train), len(data.valid), len(data.test)) == (160, 20, 20)
    assert facts["task"] == "numbers" and facts["kind"] == "table" and json.loads(json.dumps(facts)) == facts
    assert facts["names"] == ["nr", "size", "size missing", "town=Lima", "town=Oslo", "town=Rome", "town missing",
                              "garden=false", "garden=true"]  # fmt: skip
    assert facts["inputs"] == 9 and "'note' dropped: free text or names (200 different)" in facts["data"]["note"]
    inputs, target = data.train.examples
    assert inputs.dtype == target.dtype == torch.float32
    numbers = inputs.double().numpy()
    np.testing.assert_allclose(facts["mean"], numbers.mean(0), rtol=1e-6)
    np.testing.assert_allclose(facts["spread"], numbers.std(0), rtol=1e-6)
    assert facts["target_mean"] == pytest.approx(float(target.double().mean()), rel=1e-5)
    gap = inputs[:, 2] == 1
    assert 0 < gap.sum() == facts["columns"][1]["missing"] < 20
    assert (inputs[gap, 1] == np.float32(facts["columns"][1]["median"])).all()
    assert facts["columns"][1]["median"] == pytest.approx(float(np.median(numbers[~gap.numpy(), 1])))
    assert (inputs[:, 3:7].sum(1) == 1).all() and (inputs[:, 7:].sum(1) == 1).all()


def test_the_split_depends_on_content_alone(tmp_path: Path) -> None:
    homes(tmp_path / "a.csv")
    homes(tmp_path / "b.csv", order=list(np.random.default_rng(1).permutation(200)))
    a, b = table(place(tmp_path / "a.csv", "price")), table(place(tmp_path / "b.csv", "price", seed=3))
    assert sorted(a.test.examples.target.tolist()) == sorted(b.test.examples.target.tolist())
    assert not set(a.test.examples.input[:, 0].tolist()) & set(a.train.examples.input[:, 0].tolist())
    assert len(table(place(tmp_path / "a.csv", "price", "50/25/25")).test) == 50
    final = table(place(tmp_path / "a.csv", "price", "final"))
    assert len(final.train) == 180 and final.valid.name == "a.csv (seen in training)"


def test_classes_are_stratified(tmp_path: Path) -> None:
    path = homes(tmp_path / "homes.csv")
    data = table(place(path, "garden"))
    assert data.facts["task"] == "classes" and data.facts["labels"] == ["false", "true"]
    assert data.test.examples.target.dtype == torch.int64
    assert data.test.examples.target.bincount().tolist() == [10, 10]
    whole = tmp_path / "whole.csv"
    whole.write_text("x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(60)))
    assert table(place(whole, "y")).facts["labels"] == ["0", "1", "2"]
    whole.write_text("x,y\n" + "".join(f"{i},{i % 3}.5\n" for i in range(60)))
    assert table(place(whole, "y")).facts["task"] == "numbers"
    whole.write_text("x,y\n" + "".join(f"{i % 9},{i}\n" for i in range(60)))
    assert table(place(whole, "y")).facts["task"] == "numbers"  # more than 20 whole numbers


def test_rows_of_the_user_by_name(tmp_path: Path) -> None:
    path = homes(tmp_path / "homes.csv")
    data = table(place(path, "price"))
    known = {tuple(row) for source in data[:3] for row in source.examples.input.tolist()}
    rows = read(path)
    assert all(tuple(row) in known for row in row_tensor(data.facts, rows).tolist())
    turned = [Row(dict(reversed(row.values.items()))) for row in rows]
    assert torch.equal(row_tensor(data.facts, turned), row_tensor(data.facts, rows))
    odd = Row({"nr": 7, "size": None, "town": "Bonn", "garden": True, "extra": "x"})
    median = np.float32(data.facts["columns"][1]["median"])
    assert row_tensor(data.facts, [odd]).tolist() == [[7, median, 1, 0, 0, 0, 1, 0, 1]]
    assert unknown_categories(data.facts, [odd, odd]) == ["town=Bonn"]
    with pytest.raises(UserError, match=r"a column 'size', got nr, sise, town, garden in row 1. Did you mean 'sise'"):
        row_tensor(data.facts, [Row({"nr": 1, "sise": 2, "town": "", "garden": ""})])
    with pytest.raises(UserError, match=r"a number in 'size', got 'large' in row 1. Correct it, or leave it empty"):
        row_tensor(data.facts, [Row({"nr": 1, "size": "large", "town": "", "garden": ""})])


def test_parquet_jsonl_tsv_and_semicolons_agree(tmp_path: Path) -> None:
    path = homes(tmp_path / "homes.csv")
    want = table(place(path, "price")).facts
    rows = [row.values for row in read(path)]
    homes(tmp_path / "homes.tsv", mark="\t")
    typed = [
        {"nr": int(row["nr"]), "size": float(row["size"]) if row["size"] else None, "town": row["town"],
         "note": row["note"], "garden": row["garden"] == "True", "price": float(row["price"])} for row in rows
    ]  # fmt: skip
    (tmp_path / "homes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in typed))
    european = path.read_text().replace(",", ";").replace(".", ",")
    (tmp_path / "comma.csv").write_text(european)
    files = [tmp_path / name for name in ("homes.tsv", "homes.jsonl", "comma.csv")]
    for file in files:
        got = table(place(file, "price")).facts
        assert got["names"] == want["names"]
        assert sum(got["data"][split] for split in ("train", "valid", "test")) == 200
    assert table(place(files[0], "price")).facts["data"]["sha256"] == want["data"]["sha256"]
    pandas = pytest.importorskip("pandas", reason='Parquet needs an extra: pip install "milestones[tables]"')
    pandas.DataFrame(typed).to_parquet(tmp_path / "homes.parquet")
    got = table(place(tmp_path / "homes.parquet", "price")).facts
    assert got["names"] == want["names"] and got["inputs"] == 9


def test_what_is_dropped_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,same,void,x,y\n" + "".join(f"{i * 3},k,,{i % 7},{i % 2}\n" for i in range(40)))
    facts = table(place(path, "y")).facts
    assert facts["names"] == ["x"]
    for words in ("'id' dropped: numbers the rows", "'same' dropped: one value", "'void' dropped: empty"):
        assert words in facts["data"]["note"]


ROWS = "".join(f"{i % 11},{i * 0.37:.2f}\n" for i in range(60))


@pytest.mark.parametrize(
    ("content", "target", "words"),
    [
        ("x,y\n" + ROWS, "", r"a target column, got columns x, y in .*a\.csv\. Say --target y"),
        ("size,price\n" + ROWS, "prize", "the target column 'prize', got columns size, price .*Did you mean 'price'"),
        ("x,y\n" + ROWS + "1,nan\n", "y", r"a target 'y' in each row, got 'nan' in .*a\.csv line 62"),
        ("x,y\n1,inf\n" + ROWS, "y", r"a target 'y' in each row, got 'inf' in .*a\.csv line 2"),
        ("x,y\n" + ROWS + "1,\n", "y", r"got an empty cell in .*a\.csv line 62"),
        (
            "x,y\n" + ROWS + "1,much\n",
            "y",
            r"numbers in the target 'y', as in its other rows, got 'much' in .* line 62",
        ),
        ("x,y\n-inf,3\n" + ROWS, "y", r"finite numbers in 'x', got '-inf' in .*a\.csv line 2"),
        ("y,x\n" + ROWS + "1,oops\n", "y", r"numbers in 'x', as in its other rows, got 'oops' in .* line 62"),
        ("x,y\n" + "1,2.5\n" * 30, "y", "a target that varies, got one value"),
        ("x,y\n" + "1,2\n" * 30, "y", "at least two classes in 'y', got 1"),
        ("x,y\n" + ROWS.replace(".", "a"), "y", "at least 3 examples of each class, got .*is 'y' really a class"),
        ("x,y\n1,1\n2,1\n1,1\n3,0\n1,0\n1,0\n" + "1,1\n" * 0, "y", "at least 10 rows|examples of each class"),
        ("x,y\n" + "".join(f"5,{i / 7}\n" for i in range(40)), "y", "a column that varies, beside the target"),
        ("x,y\n" + "1,2.5\n" * 9 + "1,3.5\n", "y", "at least 20 rows, for train, valid and test, got 2 different"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, target: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as caught:
        table(place(path, target))
    assert "\n" not in str(caught.value)


def test_too_many_inputs_and_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"a table, got none. Name it with --data FILE.csv --target COLUMN"):
        table(place("", "y"))
    monkeypatch.setattr("milestones.data.tables.INPUTS_AT_MOST", 3)
    with pytest.raises(UserError, match="at most 3 inputs, got 9, most of them from 'town'"):
        table(place(homes(tmp_path / "a.csv"), "price"))
