"""A run's nets as torch.export programs and in ONNX, checked against PyTorch on examples of its own data."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..trained import Trained

EXAMPLES, FEW = 100, 7  # of FEW and of the others apart: two sizes of a batch
NEAR = 1e-4  # largest difference, relative to values above 1
MOST = 8  # nets of a page


class Net(NamedTuple):
    """A module that the page calls as a whole, and what it is called with."""

    name: str  # in the page's model; "" is all of it
    module: nn.Module
    inputs: tuple[Any, ...]  # tensors, or named tuples of tensors, examples first


class Refused(Exception):
    """A net cannot be exported, and why."""


class Exported(NamedTuple):
    """What was written of a net, and how far it is from PyTorch."""

    net: str
    files: tuple[str, ...]
    inputs: tuple[str, ...]  # as "input: uint8 B 1 28 28"
    outputs: tuple[str, ...]
    apart: float


def outermost(trained: Trained, batch: Any) -> list[Net]:
    """The modules that the page itself calls when it scores a batch. Refused: no way to ask the page."""
    system, model, depth, found = trained.system, trained.model, 0, dict[str, Net]()
    names = {module: name for name, module in model.named_modules()}
    if system.loss is None:
        raise Refused("its page has no loss that calls a net on a batch")

    def enter(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal depth
        if depth == 0 and names[module] not in found:
            found[names[module]] = Net(names[module], module, (*inputs, *named.values()))
        depth += 1

    def leave(module: nn.Module, *_: object) -> None:
        nonlocal depth
        depth -= 1

    hooks = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in names]
    hooks += [module.register_forward_hook(leave) for module in names]
    try:
        with torch.no_grad():
            system.loss(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return list(found.values())


def whole(net: Net) -> None:
    """Refused: a single layer that the page calls in a computation of its own, or inputs that are no batch."""
    if type(net.module).__module__.startswith("torch.nn") and not isinstance(net.module, nn.Sequential):
        raise Refused("the page computes with this layer in a way of its own, outside of any module")
    for tensor in tensors(net.inputs):
        if not isinstance(tensor, Tensor):
            raise Refused(f"it is called with a {type(tensor).__name__}, which is no tensor")
        if tensor.dim() == 0 or len(tensor) != EXAMPLES:
            raise Refused("an input of it has no place for each example")


def tensors(values: Any) -> list[Any]:
    """The tensors of inputs or outputs, in their order."""
    if isinstance(values, tuple | list):
        return [tensor for value in values for tensor in tensors(value)]
    return [values]


def mapped(values: tuple[Any, ...], change: Callable[[Tensor], Any]) -> tuple[Any, ...]:
    """The inputs with each tensor changed."""
    return tuple(type(v)(*map(change, v)) if isinstance(v, tuple) else change(v) for v in values)


@contextlib.contextmanager
def quietly() -> Generator[None]:
    """Without what the exporters say of themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def exported(net: Net, folder: Path, labels: list[str]) -> Exported:
    """Write NAME.pt2 and NAME.onnx and compare both with PyTorch on 100 examples, in batches of two sizes.
    Refused: they cannot be made, or say something else; nothing of the net is left then."""
    whole(net)
    stem = net.name or "model"
    paths = [folder / f"{stem}.pt2", folder / f"{stem}.onnx"]
    try:
        with quietly(), torch.no_grad():
            return written(net, paths, labels)
    except Exception as problem:
        for path in paths:
            path.unlink(missing_ok=True)
        if isinstance(problem, Refused):
            raise
        line = " ".join(f"{type(problem).__name__}: {problem}".split())
        raise Refused(f"PyTorch cannot export it ({line[:160]})") from None


def written(net: Net, paths: list[Path], labels: list[str]) -> Exported:
    """As `exported`, for a net that can be."""
    import json

    import onnx
    import onnxruntime

    parts = [mapped(net.inputs, lambda one: one[:FEW]), mapped(net.inputs, lambda one: one[FEW:])]
    free = mapped(net.inputs, lambda one: {0: torch.export.Dim.DYNAMIC})
    program = torch.export.export(net.module, parts[0], dynamic_shapes=free)
    count = len(tensors(net.inputs))
    names = ["input"] if count == 1 else [f"input_{k + 1}" for k in range(count)]
    made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=names)
    assert made is not None
    made.save(paths[1])
    proto = onnx.load(paths[1])
    if labels:
        proto.metadata_props.add(key="labels", value=json.dumps(labels))
        onnx.save(proto, paths[1])
    program.example_inputs = None  # torch.export.save would pickle them
    torch.export.save(program, paths[0])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(paths[1], options, providers=["CPUExecutionProvider"])
    there, again = [one.name for one in session.get_inputs()], torch.export.load(paths[0]).module()
    apart = 0.0
    for part in parts:
        want = tensors(net.module(*part))
        if any(distance(a, b) > NEAR for a, b in zip(want, tensors(net.module(*part)), strict=True)):
            raise Refused("it draws at random: no two answers are the same")
        feed = dict(zip(names, (one.contiguous().numpy() for one in tensors(part)), strict=True))
        got = session.run(None, {name: feed[name] for name in there})
        for one in ([torch.from_numpy(found) for found in got], tensors(again(*part))):
            apart = max([apart, *(distance(a, b) for a, b in zip(want, one, strict=True))])
    if not apart <= NEAR:
        raise Refused(f"its copy differs by {apart:.1e} from PyTorch, more than {NEAR:g}")
    told = [
        f"{name}: {str(one.dtype).removeprefix('torch.')} {' '.join(['B', *map(str, one.shape[1:])])}"
        for name, one in zip(names, tensors(net.inputs), strict=True)
    ]
    outputs = [
        f"{one.name}: {str(value.dtype).removeprefix('torch.')} {' '.join(['B', *map(str, value.shape[1:])])}"
        for one, value in zip(session.get_outputs(), tensors(net.module(*parts[0])), strict=True)
    ]
    return Exported(net.name, tuple(path.name for path in paths), tuple(told), tuple(outputs), apart)


def distance(want: Tensor, got: Tensor) -> float:
    """The largest difference, relative where a value is above 1; infinite for another shape or no number."""
    if want.shape != got.shape:
        return float("inf")
    want, got = want.double(), got.double()
    same = (want == got) | (want.isnan() & got.isnan())
    apart = torch.where(same, 0.0, (want - got).abs() / want.abs().clamp(min=1))
    return float(apart.nan_to_num(nan=float("inf")).max()) if apart.numel() else 0.0
