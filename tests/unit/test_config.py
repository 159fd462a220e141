"""Settings: what is refused and in which words; JSON and back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milestones.core.config import Config, Field, changed, describe, knobs
from milestones.core.errors import UserError, nearest


class Knobs(Config):
    steps: int = Field(default=10, ge=1, le=10**9, description="updates")
    lr: float = Field(default=0.1, gt=0, lt=1, description="rate")
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(3,), description="widths")
    method: Literal["adam", "sgd"] = Field(default="adam", description="rule")
    clip: float | None = Field(default=None, ge=0, description="norm")
    plain: bool = Field(default=False, description="no extras")
    word: str = Field(default="a", description="any text")


@given(st.builds(
    Knobs, steps=st.integers(1, 10**9), lr=st.floats(0, 1, exclude_min=True, exclude_max=True),
    hidden=st.lists(st.integers(1)).map(tuple), method=st.sampled_from(["adam", "sgd"]),
    clip=st.none() | st.floats(0, allow_infinity=False), plain=st.booleans(), word=st.text(),
))  # fmt: skip
def test_json_and_back(given_knobs: Knobs) -> None:
    import json

    assert Knobs.model_validate_json(given_knobs.model_dump_json()) == given_knobs
    assert changed(Knobs(), json.loads(json.dumps(given_knobs.model_dump(mode="json"))), "page") == given_knobs


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(st.dictionaries(st.sampled_from([*Knobs.model_fields, "speed"]), values, max_size=3))
def test_anything_is_taken_or_refused_in_one_line(changes: dict[str, Any]) -> None:
    said = ""
    try:
        found = changed(Knobs(), changes, "page")
    except UserError as problem:
        said = str(problem)
    if said:
        assert said.startswith("page: expected ")
        assert said.isprintable()
        assert "pydantic" not in said
    else:
        assert isinstance(found, Knobs)
        assert found.steps >= 1
        assert 0 < found.lr < 1


@pytest.mark.parametrize(("changes", "text"), [
    ({"steps": 0}, "a whole number from 1 to 1000000000, got steps = 0. Change the setting 'steps'."),
    ({"steps": 1.5}, "got steps = 1.5"),
    ({"lr": 1}, "a number above 0 below 1, got lr = 1"),
    ({"lr": float("nan")}, "got lr = nan"),
    ({"hidden": [3, 0]}, "a list, each a whole number from 1, got hidden = [3, 0]"),
    ({"method": "adm"}, "one of adam, sgd, got method = 'adm'"),
    ({"plain": "perhaps"}, "true or false, got plain = 'perhaps'"),
    ({"learning_rate": 1}, "no setting 'learning_rate'. Did you mean 'lr'?"),
    ({"optimizer": "sgd"}, "Did you mean 'method'?"),
    ({"stps": 3}, "a setting of this page (steps, lr,"),
    ({"zzz": 3}, "no setting 'zzz'. Try 'show page'."),
])  # fmt: skip
def test_words_of_a_refusal(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError) as caught:
        changed(Knobs(), changes, "page")
    assert text in str(caught.value)


def test_texts_of_the_command_line_are_taken() -> None:
    found = changed(Knobs(), {"steps": "7", "lr": "1e-3", "hidden": ["4", "5"], "clip": None, "plain": "true"}, "page")
    assert (found.steps, found.lr, found.hidden, found.clip, found.plain) == (7, 1e-3, (4, 5), None, True)


def test_frozen_and_closed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Knobs().steps = 3
    with pytest.raises(ValueError, match="Extra inputs"):
        Knobs(speed=3)


def test_schema_in_the_order_of_the_class() -> None:
    assert list(knobs(Knobs)) == list(Knobs.model_fields)
    assert describe(knobs(Knobs)["clip"]) == "a number from 0 or another value"


def test_messages_are_one_printable_line() -> None:
    problem = UserError("a\nb", "\x1b[2J\ud800 c", "Do\tit", "who")
    assert str(problem) == "who: expected a b, got ?[2J? c. Do it."
    assert nearest("lenett", ["lenet", "mlp"], "no") == "Did you mean 'lenet'?"
    assert nearest("zzz", ["lenet"], "no") == "no"
