"""The state of a stage as one safetensors file: tensors with their dimension order and ties, the rest as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .errors import UserError
from .folder import header, write_whole


class Stateful(Protocol):
    """Anything that can be saved: a module, an optimiser, a world, a Memo."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state_dict: Any, /) -> Any: ...


class Memo:
    """Python values that must survive a step: `Memo(best=inf)`, then `memo.best`."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:  # only for names that are not there
        raise AttributeError(f"this memo keeps {', '.join(self.__dict__) or 'nothing'}, not {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def state_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self.__dict__.update(state_dict)


def pack(value: Any, tensors: dict[str, Tensor], seen: dict[Any, str], at: str) -> Any:
    """`value` as JSON, its tensors moved to `tensors` under path-like names; a tied tensor is kept once.

    A tensor is stored with its dimensions ordered by stride: a channels_last moment that came back contiguous
    would make a fused optimiser read it in the wrong order, without a word.
    """
    if isinstance(value, Tensor):
        where = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if value.numel() and where in seen:
            return {"tie": seen[where]}
        at = at if at not in tensors else f"{at}#{len(tensors)}"  # 1 and "1" are two keys of one dict
        seen[where] = at
        order = sorted(range(value.dim()), key=lambda d: (-value.stride(d), d))
        tensors[at] = value.detach().permute(order).cpu().contiguous().clone()
        return {"tensor": at, "order": order}
    if isinstance(value, dict):
        return {"dict": [[pack(k, tensors, seen, at), pack(v, tensors, seen, f"{at}/{k}")] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [pack(v, tensors, seen, f"{at}/{i}") for i, v in enumerate(value)]}
    if isinstance(value, float):
        return {"float": value.hex()}
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{at}: a state holds tensors, numbers, texts, lists and dicts, not {type(value).__name__}")


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `pack`."""
    if not isinstance(value, dict):
        return value
    (kind, content), *more = value.items()
    if kind == "tensor":
        order = dict(more)["order"]
        return tensors[content].permute([order.index(d) for d in range(len(order))])
    if kind == "dict":
        return {unpack(k, tensors): unpack(v, tensors) for k, v in content}
    if kind == "float":
        return float.fromhex(content)
    items = [unpack(v, tensors) for v in content]
    return tuple(items) if kind == "tuple" else items


def finite(tensors: dict[str, Tensor]) -> bool:
    """True if no floating tensor holds NaN or infinity."""
    return all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point())


def write_state(path: Path, state: dict[str, Stateful], meta: dict[str, Any]) -> bool:
    """Write the state of `state` and `meta` to one file. False, and nothing written, if a tensor is not finite."""
    tensors: dict[str, Tensor] = {}
    tree = pack({name: thing.state_dict() for name, thing in state.items()}, tensors, {}, "state")
    if not finite(tensors):
        return False
    write_whole(path, save(tensors, metadata={"state": json.dumps({"tree": tree, **meta})}))
    return True


def read_state(path: Path, state: dict[str, Stateful], kinds: Mapping[str, type]) -> dict[str, Any]:
    """Restore `state` from the file in place and return its meta, whose fields are of `kinds`. UserError if it belongs
    to something else."""

    def wrong(got: str) -> UserError:
        return UserError(f"the state of this page in {path}", got, "Resume with the page and settings that made it")

    fields = header(path)
    try:
        meta = json.loads(fields["__metadata__"]["state"])
        with safe_open(path, "pt") as file:
            # Copied to where PyTorch lays tensors: sums over a file's own memory differ in their last bits.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  (not a dict)
        parts = unpack(untied(meta.pop("tree")), tensors)
        if set(parts) != set(state):
            raise wrong(f"one of {', '.join(map(str, parts))}")
        if any(type(meta.get(name)) is not kind for name, kind in kinds.items()):
            raise wrong("other fields in its header")
        for name, thing in state.items():
            thing.load_state_dict(parts[name])
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError, OSError, SafetensorError) as problem:
        raise wrong(f"{type(problem).__name__}: {str(problem)[:120]}") from None
    return meta


def untied(tree: Any) -> Any:
    """`tree`, with ties replaced by the full description of the tensor that they share."""
    orders: dict[str, Any] = {}

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            if "tensor" in value:
                orders[value["tensor"]] = value
                return value
            if "tie" in value:
                return orders[value["tie"]]
            return {k: walk(v) for k, v in value.items()}
        return [walk(v) for v in value] if isinstance(value, list) else value

    return walk(tree)
