"""What the studio shows of an input: maps that are the net's own numbers, and terms that add up to them."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.catalog import options
from milestones.core.errors import UserError
from milestones.media import Number, Surface
from milestones.parts.ensemble import Ensemble
from milestones.parts.products import Traced, kernel, under
from milestones.studio.acts import example, maps, use
from milestones.studio.carry import received
from milestones.studio.desk import Answer, Desk
from milestones.studio.subjects import keep


class Everything(nn.Module):
    """A layer of each kind that is taken apart, in odd settings, bare functions among them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, (3, 5), stride=(2, 1), padding=(1, 2))
        self.norm = nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 8, 3, padding="same", dilation=2, groups=2, bias=False)
        self.group = nn.GroupNorm(4, 8)
        self.third = nn.Conv2d(8, 8, 1)
        self.weight, self.bias = nn.Parameter(torch.randn(5, 8, 2, 2)), nn.Parameter(torch.randn(5, 1, 1))
        self.hidden, self.layer = nn.Linear(5 * 2 * 2, 9), nn.LayerNorm(9)
        self.matrix = nn.Parameter(torch.randn(9, 7))
        self.last = nn.Linear(7, 4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        for part in (self.norm, self.group, self.layer):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.first(x)), inplace=True), 3, 2, 1)
        x = nn.functional.leaky_relu(self.group(self.grouped(x)), 0.2)
        x = x + torch.sigmoid(self.third(x))
        x = F.avg_pool2d(x, (2, 3), stride=(1, 2), padding=(1, 1), ceil_mode=True)
        x = torch.tanh_(F.conv2d(x, self.weight, stride=2) + self.bias)
        x = F.adaptive_avg_pool2d(x, 2)
        x = F.gelu(self.layer(self.hidden(x.flatten(1))))
        return self.last(F.silu(x @ self.matrix)).softmax(-1)


def traced(net: nn.Module, *shape: int) -> tuple[Traced, Tensor]:
    torch.manual_seed(3)
    input = torch.randn(shape)
    with torch.inference_mode(), Traced(net.eval()) as seen:
        out = net(input)
    return seen, out


def differences(seen: Traced, most: int = 40) -> Iterator[tuple[str, str, float]]:
    """Op, kind and |total - value| of up to `most` numbers of each step."""
    rng = random.Random(1)
    for at, step in enumerate(seen.steps):
        spots = [tuple(map(int, spot)) for spot in np.argwhere(np.ones(step.out.shape))]
        for spot in rng.sample(spots, min(most, len(spots))):
            told = under(seen.steps, at, spot)
            assert told["value"] == float(step.out[spot])
            yield step.op, told["kind"], abs(told["total"] - told["value"])


def test_terms_of_every_kind_of_layer_add_up_to_the_nets_own_numbers() -> None:
    torch.manual_seed(0)
    seen, out = traced(Everything(), 2, 3, 20, 23)
    assert [step.op for step in seen.steps] == [
        "conv2d", "batch_norm", "relu", "max_pool2d", "conv2d", "group_norm", "leaky_relu", "conv2d", "sigmoid", "add",
        "avg_pool2d", "conv2d", "add", "tanh", "adaptive_avg_pool2d", "linear", "layer_norm", "gelu", "matmul", "silu",
        "linear", "softmax",
    ]  # fmt: skip
    torch.testing.assert_close(seen.steps[-1].out, out[0], rtol=0, atol=0)  # of the first example
    found = list(differences(seen))
    assert {kind for _, kind, _ in found} == {"products", "norm", "unit", "pool", "sum", "softmax"}
    wrong = [(op, gap) for op, _, gap in found if gap > 1e-5]
    assert wrong == []


def test_what_was_changed_in_place_is_kept_as_it_was() -> None:
    seen, _ = traced(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)), 1, 1, 6, 6)
    assert float(seen.steps[0].out.min()) < 0 <= float(seen.steps[1].out.min())


def test_a_convolution_shows_its_strongest_maps_and_sums_the_others() -> None:
    net = nn.Conv2d(7, 3, 3, padding=1)
    seen, _ = traced(net, 1, 7, 8, 8)
    told = under(seen.steps, 0, (2, 0, 5), most=4)
    sums = [abs(term["sum"]) for term in told["terms"]]
    assert len(sums) == 4 and sums == sorted(sums, reverse=True) and told["rest"]["count"] == 3
    grids = told["grids"]
    torch.testing.assert_close(grids["patch"] * grids["kernel"], grids["product"])
    assert float(grids["patch"][:, 0].abs().max()) == 0  # above the border
    shown = sum(term["sum"] for term in told["terms"]) + told["rest"]["sum"] + told["bias"]
    assert shown == pytest.approx(told["value"], abs=1e-6)
    torch.testing.assert_close(kernel(seen.steps[0], 2), net.weight[2].detach())
    assert kernel(traced(nn.Linear(3, 2), 1, 3)[0].steps[0], 0) is None


def test_lines_and_rows_of_a_table_are_taken_apart_too() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(self.line(x).transpose(1, 2), torch.ones(5, 6)).softmax(-1)  # B T K

    seen, _ = traced(Reader(), 2, 4, 21)
    assert {(op, kind) for op, kind, _ in differences(seen)} == {
        ("conv1d", "products"),
        ("linear", "products"),
        ("softmax", "softmax"),
    }
    assert max(gap for *_, gap in differences(seen)) < 1e-5


def test_then_follows_a_number_through_what_is_one_to_one() -> None:
    torch.manual_seed(0)
    seen, _ = traced(Everything(), 1, 3, 20, 23)
    told = under(seen.steps, 0, (1, 3, 4))
    assert [step["op"] for step in told["then"]] == ["batch_norm", "relu"]
    assert told["then"][1]["value"] == max(0.0, told["then"][0]["value"])


def test_a_step_without_a_formula_has_its_value() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.attend = nn.LSTM(4, 5), nn.MultiheadAttention(5, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.lstm(x)[0]
            return self.attend(x, x, x)[0]

    seen, _ = traced(Gated(), 6, 2, 4)  # moments first
    assert seen.steps[0].op == "lstm" and tuple(seen.steps[0].out.shape) == (6, 5)
    assert seen.steps[-1].op == "multi_head_attention_forward" and tuple(seen.steps[-1].out.shape) == (6, 5)
    assert under(seen.steps, 0, (1, 2))["kind"] == "value"


def test_members_of_an_ensemble_are_told_apart() -> None:
    nets = [nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)) for _ in range(3)]
    seen, _ = traced(Ensemble(nets), 2, 4)
    assert [(step.op, step.member) for step in seen.steps] == [
        (op, k) for k in range(3) for op in ("linear", "tanh", "linear")
    ]
    assert max(gap for *_, gap in differences(seen)) < 1e-5


def test_a_long_net_is_cut_and_says_so() -> None:
    seen = Traced(net := nn.Sequential(*[nn.Linear(2, 2) for _ in range(9)]), most=5)
    with torch.inference_mode(), seen:
        net(torch.ones(1, 2))
    assert len(seen.steps) == 5 and seen.left == 4
    assert not net._forward_pre_hooks


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "runs", {})


def seven(side: int = 100) -> np.ndarray:
    sheet = np.full((side, side), 255, np.uint8)
    sheet[20:28, 25:75] = 0
    for y in range(28, 85):
        x = 70 - (y - 28) * 30 // 57
        sheet[y, x - 4 : x + 4] = 0
    return sheet


def asked(desk: Desk, run: str = "shipped:lenet", **more: Any) -> Answer:
    sheet = seven()
    ask = {"do": "maps", "run": run, "kind": "image", "shape": list(sheet.shape), **more}
    return maps.act(desk, ask, sheet.tobytes())


@pytest.mark.parametrize("run", ["shipped:lenet", "shipped:lenet1989", "shipped:mlp"])
def test_maps_are_the_nets_own_activations(desk: Desk, run: str) -> None:
    told = asked(desk, run)
    assert told.content["items"][0]["value"][0]["label"] == "7"
    trained = desk.trained(run)
    picture = torch.from_numpy(told.arrays["seen"][..., 0])[None, None]
    caught: dict[str, Tensor] = {}
    with torch.inference_mode(), Traced(trained.model) as again:  # by another way: the model alone
        scores = trained.model(picture)
    for step in again.steps:
        caught[step.name or step.op] = step.out
    lines = [line for line in told.content["steps"] if line["step"] >= 0]
    assert lines[-1]["op"] == "softmax" and len(lines) == len(again.steps) + 1
    torch.testing.assert_close(again.steps[-1].out, scores[0], rtol=0, atol=0)
    for line, step in zip(lines, again.steps, strict=False):
        levels = told.arrays[f"step {line['step']}"].astype(np.float64)
        values = line["low"] + levels / 255 * (line["high"] - line["low"])
        fine = (line["high"] - line["low"]) / 255 / 2 * 1.01 + 1e-9
        np.testing.assert_allclose(values, maps.matrices(step), atol=fine)
        assert line["shape"] == list(step.out.shape)
    assert told.content["steps"][0]["op"] == "input" and told.content["steps"][0]["high"] == 255
    np.testing.assert_array_equal(told.arrays["step -1"], told.arrays["seen"][None, ..., 0])


def test_pixel_tells_the_terms_of_the_last_input(desk: Desk) -> None:
    told = asked(desk)
    for line in told.content["steps"][1:]:
        spot = [n // 2 for n in line["shape"]]
        found = maps.act(desk, {"do": "pixel", "run": "shipped:lenet", "step": line["step"], "at": spot}, b"")
        assert abs(found.content["total"] - found.content["value"]) < 1e-5, line
        json.dumps(found.content, allow_nan=False)
        found.packed(1, last=True)
    first = maps.act(desk, {"do": "pixel", "run": "shipped:lenet", "step": 6, "at": [3]}, b"")
    assert first.content["from"] == [16, 5, 5]  # what the first full layer sees
    conv = maps.act(desk, {"do": "pixel", "run": "shipped:lenet", "step": 3, "at": [3, 1, 1]}, b"")
    assert conv.arrays["weights"].shape == (6, 5, 5) and conv.arrays["patch"].shape == (4, 5, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "shipped:mlp"}, "an input whose maps are shown"),
        ({"step": 99}, "a step from 0 to"),
        ({"step": "3"}, "a step from 0 to"),
        ({"at": [0, 0]}, "a place in the 6 x 28 x 28 numbers of this step"),
        ({"at": [0, 28, 0]}, "a place in the 6 x 28 x 28 numbers of this step"),
        ({"at": [0, -1, True]}, "a place in the 6 x 28 x 28 numbers of this step"),
    ],
)
def test_a_place_that_is_not_there_is_refused(desk: Desk, change: dict[str, Any], message: str) -> None:
    asked(desk)
    with pytest.raises(UserError, match=message):
        maps.act(desk, {"do": "pixel", "run": "shipped:lenet", "step": 0, "at": [0, 0, 0], **change}, b"")


@pytest.mark.parametrize(
    ("ask", "payload", "message"),
    [
        ({"kind": "image", "shape": [4, 4]}, b"123", "as many bytes as the picture's shape says"),
        ({"kind": "image", "shape": [4, 0]}, b"", "as many bytes as the picture's shape says"),
        ({"kind": "image"}, b"no picture", "a PNG, JPEG, BMP, TIFF or WebP picture"),
        ({"kind": "image", "shape": [30, 30]}, bytes([255]) * 900, "a picture with one digit in it"),
        ({"kind": "text", "text": "7"}, b"", "image, got 'text'. Choose another run"),
        ({"kind": "image", "shape": [30, 30], "at_error": "x"}, bytes([255] * 500 + [0] * 50 + [255] * 350),
         "a percentage of errors"),
        ({"kind": "image", "shape": [30, 30], "at_error": 1}, bytes([255] * 500 + [0] * 50 + [255] * 350),
         "a run that knows how sure it must be"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(desk: Desk, ask: dict[str, Any], payload: bytes, message: str) -> None:
    for act in (maps.act, use.act):
        with pytest.raises(UserError, match=message) as told:
            act(desk, {"do": "use", "run": "shipped:lenet", **ask}, payload)
        assert "\n" not in str(told.value)


def test_rows_that_are_none_are_refused(desk: Desk) -> None:
    with pytest.raises(UserError, match="a row: column names with values"):
        use.act(desk, {"do": "use", "run": "shipped:perceptron", "kind": "row", "values": [1]}, b"")
    with pytest.raises(UserError, match="a column 'x1'"):
        use.act(desk, {"do": "use", "run": "shipped:perceptron", "kind": "row", "values": {}}, b"")


def test_a_kind_that_the_page_takes_and_the_studio_cannot_send_is_said() -> None:
    with pytest.raises(UserError, match="a kind of input that the studio can send, got 'surface'"):
        received({"kind": "surface"}, b"", (Surface,), "own")


def test_a_form_tells_what_a_run_takes(desk: Desk) -> None:
    found = {name: use.act(desk, {"do": "form", "run": f"shipped:{name}"}, b"").content for name in ("lenet", "mlp",
             "perceptron")}  # fmt: skip
    assert found["lenet"]["takes"] == ["image"] and found["lenet"]["pad"] == "square"
    assert found["mlp"]["takes"] == ["image"]  # trained on pictures; the page takes rows, too
    assert found["perceptron"]["takes"] == ["row"] and len(found["perceptron"]["columns"]) == 20
    assert found["lenet"]["labels"] == list("0123456789") and found["lenet"]["parameters"] == 61706


def examples(desk: Desk, run: str, **more: Any) -> Answer:
    return list(example.act(desk, {"do": "example", "run": run, **more}, b""))[-1]


@pytest.mark.parametrize("said", [{"beam": "4"}, ["beam"], "beam"])
def test_options_that_a_page_does_not_have_are_refused(desk: Desk, said: Any) -> None:
    with pytest.raises(UserError, match=r"expected no options, got .*beam.*Reload the page"):
        use.told(desk.trained("shipped:lenet"), {"options": said})
    assert use.act(desk, {"do": "form", "run": "shipped:lenet"}, b"").content["options"] == {}


def test_options_are_told_among_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def page_use(model: Any, facts: Any, inputs: Any, *, beam: Annotated[int, "kept"] = 4) -> list[Any]:
        return []

    trained: Any = SimpleNamespace(system=SimpleNamespace(use=page_use), entry=SimpleNamespace(name="page"))
    assert use.told(trained, {}) == {} and use.told(trained, {"options": {"beam": "8"}}) == {"beam": 8}
    with pytest.raises(UserError, match="expected options among beam, got "):
        use.told(trained, {"options": {"width": "8"}})


def test_a_browser_names_no_files_of_the_server() -> None:
    from milestones.systems.fewshot import system

    trained = SimpleNamespace(system=system, entry=SimpleNamespace(name="fewshot"))
    assert {"learn", "like"} <= options(system.use).keys() and use.options(system.use) == {}
    for name in ("learn", "like"):
        with pytest.raises(UserError, match="expected no options, got "):
            use.told(trained, {"options": {name: "/etc"}})


def test_a_page_without_layers_shows_none(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Identity()
    seen = Traced(net)
    with seen:
        torch.ones(1, 3) + torch.ones(1, 3)
    assert len(seen.steps) == 1 and seen.steps[0].name == ""
    trained = desk.trained("shipped:lenet")
    run = trained._replace(system=replace(trained.system, use=lambda model, facts, items: [
        {"answer": Number(float((torch.ones(1, 3) + torch.ones(1, 3)).sum()))}]))  # fmt: skip
    monkeypatch.setattr(desk, "trained", lambda _: run)
    assert asked(desk).content["steps"] == []


def test_examples_are_those_of_the_runs_own_data(desk: Desk) -> None:
    told = examples(desk, "shipped:lenet", page=2, count=5)
    trained = desk.trained("shipped:lenet")
    from milestones.core.source import Place

    data = trained.system.prepare(trained.knobs, Place(torch.device("cpu"), 0))
    batch = list(data.test.sweep(5))[2]
    np.testing.assert_array_equal(told.arrays["images"][..., 0], batch.image[:, 0])
    assert told.content["labels"] == [str(k) for k in batch.label.tolist()]
    assert told.content["over"] == len(data.test)
    again = list(example.act(desk, {"do": "example", "run": "shipped:lenet", "page": 0}, b""))
    assert len(again) == 1  # the data are kept


def test_a_row_of_the_data_is_answered_as_it_was_encoded(desk: Desk) -> None:
    told = examples(desk, "shipped:perceptron", count=12)
    trained = desk.trained("shipped:perceptron")
    for row, label in zip(told.content["rows"], told.content["labels"], strict=True):
        found = maps.act(desk, {"do": "maps", "run": "shipped:perceptron", "kind": "row", "values": row}, b"").content
        assert found["items"][0]["value"][0]["label"] == label  # it separates its points
    assert trained.knobs.margin > 0


def test_encoded_rows_are_told_as_cells() -> None:
    columns = [
        {"name": "age", "kind": "number", "missing": 3, "median": 30.0},
        {"name": "port", "kind": "category", "categories": ["S", "C"], "missing": 1},
        {"name": "fare", "kind": "number", "missing": 0, "median": 7.0},
    ]
    assert example.row_of(columns, [22.0, 0, 0, 1, 0, 7.25]) == {"age": 22.0, "port": "C", "fare": 7.25}
    assert example.row_of(columns, [30.0, 1, 0, 0, 1, 8.0]) == {"age": None, "port": None, "fare": 8.0}


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"split": "all"}, "test, valid or train"),
        ({"page": -1}, "a page from 0 of 1 to 48 examples"),
        ({"count": 1000}, "a page from 0 of 1 to 48 examples"),
        ({"page": "1"}, "a page from 0 of 1 to 48 examples"),
    ],
)
def test_examples_that_are_not_there_are_refused(desk: Desk, ask: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        examples(desk, "shipped:lenet", **ask)


OWN = '''
"""A user's own page: words, of which the length is learned."""
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from milestones.core.config import Config, Field
from milestones.core.fit import fit
from milestones.core.score import error_score
from milestones.core.source import Data, Held
from milestones.core.system import System
from milestones.media import Heat, Image, Number, Ranking, Text


class Pairs(NamedTuple):
    input: Tensor
    label: Tensor


class Knobs(Config):
    steps: int = Field(default=5, ge=1, description="updates")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.attend = nn.Embedding(27, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, words):
        x = self.embed(words)
        return self.out(self.attend(x, x, x)[0].mean(1))


def coded(text):
    return torch.tensor([ord(c) - 96 if c.isalpha() else 0 for c in text.lower()[:9].ljust(9)]).clamp(0, 26)


def prepare(knobs, place):
    rows = torch.arange(270).reshape(30, 9) % 27
    held = [Held(Pairs(rows, torch.arange(30) % 2), place, "words", s) for s in ("train", "valid", "test")]
    return Data(*held, {"labels": ["short", "long"], "data": {"name": "words", "train": 30, "valid": 30, "test": 30}})


def loss(model, batch):
    return {"loss": F.cross_entropy(model(batch.input), batch.label)}


def train(knobs, model, data, run):
    fit(model, loss, data.train, run, steps=knobs.steps, batch=10, optimizer=torch.optim.SGD(model.parameters(), 0.1))


def use(model, facts, texts):
    rows = model(torch.stack([coded(item.text) for item in texts])).softmax(-1)
    return [{"answer": Ranking.of(row, facts["labels"]), "letters": Number(float(len(item.text)), "letters"),
             "heat": Heat(row[None].numpy(), ("word",), ("short", "long"))} for row, item in zip(rows, texts)]


system = System(Knobs, {"quick": Knobs(), "paper": Knobs()}, prepare, lambda knobs, facts: Net(), train,
                lambda knobs, model, data, place: {"error": error_score(model, data.test)}, use,
                takes=(Text,), loss=loss)
'''


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, str]:
    """A desk with a run of a page of the user's own."""
    from milestones.verbs.execute import Order, begin

    place = tmp_path_factory.mktemp("own")
    file = place / "lengths.py"
    file.write_text(OWN.lstrip())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("milestones.core.plan.SECONDS", 0.0)
        folder = begin(str(file), {}, Order(plan="exact"), place / "runs").folder
    return Desk(place / "runs", {"lengths": str(file)}), folder.name


def test_a_page_of_the_users_own_is_seen_inside(own: tuple[Desk, str]) -> None:
    desk, run = own
    form = use.act(desk, {"do": "form", "run": run}, b"").content
    assert form["takes"] == ["text"] and form["pad"] == ""
    told = maps.act(desk, {"do": "maps", "run": run, "kind": "text", "text": "Owl"}, b"")
    assert [item["kind"] for item in told.content["items"]] == ["ranking", "number", "heat"]
    assert [line["op"] for line in told.content["steps"] if line["step"] >= 0][-2:] == ["linear", "softmax"]
    last = [line for line in told.content["steps"] if line["op"] == "linear"][-1]
    found = maps.act(desk, {"do": "pixel", "run": run, "step": last["step"], "at": [1]}, b"").content
    assert found["kind"] == "products" and abs(found["total"] - found["value"]) < 1e-5
    told.packed(1, last=True)


def test_examples_of_another_kind_are_refused(own: tuple[Desk, str]) -> None:
    desk, run = own
    with pytest.raises(UserError, match="examples that are pictures, sounds or rows"):
        examples(desk, run)


def test_a_run_that_knows_how_sure_it_must_be_says_so(own: tuple[Desk, str]) -> None:
    desk, run = own
    folder = desk.root / run
    report = json.loads((folder / "report.json").read_text())
    rows = [[99.9, 10.0, 0.5], [50.0, 100.0, 40.0]]  # sure, answered, error
    report["calibration"] = {"answering": {"rows": rows}}
    (folder / "report.json").write_text(json.dumps(report))
    assert use.act(desk, {"do": "form", "run": run}, b"").content["cautious"]
    ask = {"do": "maps", "run": run, "kind": "text", "text": "Owl"}
    told = maps.act(desk, {**ask, "at_error": 1}, b"").content
    assert told["items"][0]["value"] == "I don't know" and told["needed"] == 99.9 and told["share"] == 10
    assert maps.act(desk, ask, b"").content["items"][0]["kind"] == "ranking"


def test_examples_are_sounds_where_the_run_hears() -> None:
    batch = (
        torch.tensor([[3, -16384, 0, 5, 0], [7, 8, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.int16),
        torch.tensor([1, 0, 1]),
    )
    trained = SimpleNamespace(facts={"rate_hz": 8000, "labels": ["dog", "rain"]}, entry=SimpleNamespace(name="sounds"))
    told = example.shown(trained, batch, {"over": 3})
    assert told.content["kind"] == "audio" and told.content["rate_hz"] == 8000 and told.content["lengths"] == [4, 2, 1]
    assert told.content["labels"] == ["rain", "dog", "rain"]
    assert told.arrays["samples"].dtype == np.float32 and told.arrays["samples"][1] == -0.5
    assert len(told.arrays["samples"]) == 7


def test_a_page_without_examples_is_refused(own: tuple[Desk, str], monkeypatch: pytest.MonkeyPatch) -> None:
    desk, run = own
    keep(desk, desk.trained(run), object())
    with pytest.raises(UserError, match="a run with examples"):
        examples(desk, run)
    desk.memory.clear()


def test_a_photo_is_read_as_a_file(desk: Desk) -> None:
    stream = io.BytesIO()
    Pillow.fromarray(seven(200)).save(stream, "JPEG")
    told = maps.act(desk, {"do": "maps", "run": "shipped:lenet", "kind": "image"}, stream.getvalue())
    assert told.content["items"][0]["value"][0]["label"] == "7"


def test_levels_keep_zero_in_the_middle() -> None:
    levels, low, high = maps.scaled(np.array([[-2.0, 0.0, 1.0]]))
    assert (low, high) == (-2, 2) and levels.tolist() == [[0, 128, 191]]
    levels, low, high = maps.scaled(np.array([[0.0, np.nan, np.inf, 4.0]]))
    assert (low, high) == (0, 4) and levels.tolist() == [[0, 0, 255, 255]]
    assert maps.scaled(np.zeros((2, 2)))[1:] == (0, 0)


def test_large_maps_are_thinned_and_say_so() -> None:
    seen, _ = traced(nn.Conv2d(1, 200, 1), 1, 1, 230, 10)
    lines, arrays = maps.drawn(seen)
    assert lines[1]["stride"] == 3 and lines[1]["of"] == 200
    assert arrays["step 0"].shape == (128, 77, 4)
