"""The state file: what goes in comes out, whatever it is; damaged files are refused."""

from __future__ import annotations

import contextlib
import json
import math
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milestones.core.errors import UserError
from milestones.core.folder import header, read_weights, write_weights
from milestones.core.state import Memo, finite, pack, read_state, unpack, untied, write_state

numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
tensors = st.integers(0, 5).map(lambda n: torch.arange(float(n)))
keys = st.text(max_size=4) | st.integers() | st.booleans()
values = st.recursive(
    numbers | tensors,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=8,
)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b)
    if isinstance(a, float):
        return isinstance(b, float) and (a == b or (math.isnan(a) and math.isnan(b)))
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and [type(k) for k in a] == [type(k) for k in b] and all(equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def through_file(content: Any, path: Path) -> Any:
    assert write_state(path, {"memo": Memo(content=content)}, {"step": 3})
    memo = Memo(content=None)
    assert read_state(path, {"memo": memo}, {"step": int})["step"] == 3
    return memo.content


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values)
def test_anything_through_json(content: Any) -> None:
    found: dict[str, torch.Tensor] = {}
    tree = json.loads(json.dumps(pack(content, found, {}, "state")))
    assert equal(unpack(untied(tree), found), content)


def test_through_a_file(tmp_path: Path) -> None:
    content = {
        "a": [1, (2.5, math.inf), None],
        3: {"x": torch.ones(2, 3, dtype=torch.bfloat16)},
        True: -0.0,
        "ü/#": "\ud800",
    }
    found = through_file(content, tmp_path / "s")
    assert equal(found, content)
    assert math.copysign(1, found[True]) == -1


def test_keys_that_look_alike_stay_apart(tmp_path: Path) -> None:
    content = {1: torch.zeros(1), "1": torch.ones(1), "a": {"b": torch.full((1,), 2.0)}, "a/b": torch.full((1,), 3.0)}
    assert equal(through_file(content, tmp_path / "s"), content)


def test_order_of_dimensions_and_ties(tmp_path: Path) -> None:
    picture = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    turned = torch.randn(4, 6).t()
    found = through_file({"picture": picture, "turned": turned, "again": picture}, tmp_path / "s")
    assert found["picture"].stride() == picture.stride()
    assert found["turned"].stride() == turned.stride()
    assert torch.equal(found["picture"], picture)
    assert torch.equal(found["again"], picture)
    assert (tmp_path / "s").stat().st_size < 4 * (2 * picture.numel()) + 4000, "a tied tensor is kept once"
    assert len([name for name in header(tmp_path / "s") if name != "__metadata__"]) == 2


def test_fused_adam_with_channels_last_goes_on(tmp_path: Path) -> None:
    """What a plain torch.save of contiguous copies got wrong, silently."""

    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 4, 3)).to(
            memory_format=torch.channels_last
        )
        return net, torch.optim.Adam(net.parameters(), 0.01, fused=True)

    def step(net: torch.nn.Module, adam: torch.optim.Optimizer, seed: int) -> None:
        image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        adam.zero_grad()
        net(image.to(memory_format=torch.channels_last)).square().mean().backward()
        adam.step()

    net, adam = made()
    for seed in range(3):
        step(net, adam, seed)
    assert write_state(tmp_path / "s", {"net": net, "adam": adam}, {})
    other, again = made()
    step(other, again, 9)  # its state has another content
    read_state(tmp_path / "s", {"net": other, "adam": again}, {})
    for seed in range(3, 6):
        step(net, adam, seed)
        step(other, again, seed)
    for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
        assert a.stride() == b.stride()


def test_not_finite_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert write_state(path, {"memo": Memo(x=torch.ones(2))}, {})
    before = path.read_bytes()
    for bad in (math.nan, math.inf, -math.inf):
        assert not write_state(path, {"memo": Memo(x=torch.tensor([1.0, bad]))}, {})
    assert path.read_bytes() == before
    assert finite({"a": torch.tensor([2**62])})


def test_what_a_state_may_hold() -> None:
    with pytest.raises(TypeError, match="a state holds tensors, numbers, texts, lists and dicts, not set"):
        pack({"a": {1, 2}}, {}, {}, "state")


def test_memo() -> None:
    memo = Memo(best=1.0)
    memo.best = 2.0
    assert memo.state_dict() == {"best": 2.0}
    with pytest.raises(AttributeError, match="this memo keeps best, not 'worst'"):
        _ = memo.worst


def test_state_of_other_parts(tmp_path: Path) -> None:
    write_state(tmp_path / "s", {"memo": Memo(a=1)}, {"step": 1})
    with pytest.raises(UserError, match=r"the state of this page in .*, got one of memo"):
        read_state(tmp_path / "s", {"model": Memo()}, {})
    with pytest.raises(UserError, match="other fields in its header"):
        read_state(tmp_path / "s", {"memo": Memo()}, {"step": float})
    with pytest.raises(UserError, match="no such file"):
        read_state(tmp_path / "none", {"memo": Memo()}, {})


# Fuzz of the safetensors reader: a file is refused in one line or read as written, and nothing else happens.


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("fuzz") / "w"
    write_weights(path, {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(4), "c": torch.zeros(0)})
    return path.read_bytes()


def looked_at(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        found = read_weights(path)
        assert sum(t.numel() * t.element_size() for t in found.values()) <= len(content)
    with contextlib.suppress(UserError):
        read_state(path, {"memo": Memo()}, {})
    assert path.read_bytes() == content


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32))
def test_damaged_weights(good: bytes, tmp_path: Path, seed: int) -> None:
    rng, content = random.Random(seed), bytearray(good)
    for _ in range(rng.randint(1, 6)):
        match rng.randrange(4):
            case 0:
                content[rng.randrange(len(content))] = rng.randrange(256)
            case 1:
                del content[rng.randrange(len(content)) :]
                content = content or bytearray(b"\0")
            case 2:
                at = rng.randrange(len(content))
                content[at:at] = rng.randbytes(rng.randint(1, 9))
            case 3:
                at = rng.randrange(min(len(content), 8))
                content[at] ^= 1 << rng.randrange(8)
    looked_at(tmp_path / "w", bytes(content))


field = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "F64", "I64", "U8", "BOOL", "BF16", "F8_E5M2", "X", "", 3, None]),
     "shape": st.lists(st.integers(-1, 4) | st.sampled_from([2**40, 2**63, 1.5, True, "2", None]), max_size=4),
     "data_offsets": st.lists(st.integers(-2, 70) | st.sampled_from([2**63, 0.0, "0", None, True]), max_size=3)},
    optional={"extra": st.integers()},
)  # fmt: skip


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.text(max_size=5) | st.just("__metadata__"), field | values.map(repr) | st.none(), max_size=3),
       st.integers(0, 64), st.integers(-3, 3))  # fmt: skip
def test_invented_headers(tmp_path: Path, content: dict[str, Any], tail: int, off: int) -> None:
    text = json.dumps(content).encode()
    looked_at(tmp_path / "w", struct.pack("<Q", max(0, len(text) + off)) + text + b"\1" * tail)


def test_weights_are_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    one, two = torch.randn(2, 3, 4, 5), torch.randn(3)
    shas = [write_weights(tmp_path / "a", {"x": one, "y": two}),
            write_weights(tmp_path / "b", {"y": two, "x": one.to(memory_format=torch.channels_last)})]  # fmt: skip
    assert shas[0] == shas[1]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
