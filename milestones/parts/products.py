"""What a net computes, seen step by step for one example, down to the terms under a single number.

PyTorch's functions are watched, as in ``relevance``: bare functions are seen as well as modules, and nothing stays on
the net. Each step keeps what went in, so that a number can be taken apart long after.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .relevance import Call, Watched
from .watch import CELLS, NORMS, PRODUCTS, RECURRENT, UNITS

WORDS = {  # what a function's arguments are called, in their order
    "conv1d": "input weight bias stride padding dilation groups",
    "conv2d": "input weight bias stride padding dilation groups",
    "linear": "input weight bias",
    "matmul": "input other",
    "mm": "input other",
    "rmatmul": "other input",
    "addmm": "bias input other",
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "max_pool2d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "adaptive_avg_pool2d": "input output_size",
    "adaptive_max_pool2d": "input output_size return_indices",
    "batch_norm": "input running_mean running_var weight bias training momentum eps",
    "layer_norm": "input normalized_shape weight bias eps",
    "group_norm": "input num_groups weight bias eps",
    "softmax": "input dim",
    "add": "input other",
    "radd": "input other",
    "iadd": "input other",
}
MATRIX = frozenset(("matmul", "mm", "rmatmul", "addmm"))
POOLS = frozenset(word for word in WORDS if "pool" in word)
ADDED = frozenset(("add", "radd", "iadd"))
TURNED = 8  # the place of `batch_first` among an LSTM's arguments


class Step(NamedTuple):
    """One function that the net called, for the first example of its batch."""

    op: str  # as PyTorch calls it: conv2d, tanh, ...
    name: str  # the parameter's path without its last word: features.1; "" for what has none
    member: int  # of an ensemble
    given: Mapping[str, Any]  # arguments by name; those with one row for each example have the first alone
    out: Tensor  # float32, without the batch


class Traced(Watched):
    """Inside ``with Traced(model) as seen:`` the net's functions are kept in `seen.steps`, at most `most`; `seen.input`
    is what the model was called with, `seen.left` how many steps were not kept."""

    def __init__(self, model: nn.Module, most: int = 64) -> None:
        super().__init__(self._kept)
        self.steps: list[Step] = []
        self.input: Tensor | None = None
        self.left = 0
        self._most, self._member, self._model = most, 0, model
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._hook: Any = None

    def __enter__(self) -> Traced:
        self._hook = self._model.register_forward_pre_hook(self._called)
        super().__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)
        self._hook.remove()

    def _called(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self.input is None and inputs and isinstance(inputs[0], Tensor) and inputs[0].dim() > 1:
            self.input = inputs[0][0].detach().float().clone()

    def _name(self, value: Any) -> str:
        if isinstance(value, list | tuple) and value:
            value = value[0]
        if not isinstance(value, Tensor):
            return ""
        return self._names.get(id(value), "") or self._names.get(id(value._base), "")

    def _kept(self, name: str, call: Call, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        op = name.strip("_")
        if not (op in PRODUCTS or op in UNITS or op in NORMS or op in POOLS or op in ADDED or op == "softmax"):
            return call()
        words = WORDS.get(op, "input").split()
        given = {**dict(zip(words, args, strict=False)), **named}
        given = {word: value for word, value in given.items() if word in words}
        if op in UNITS:
            given |= {"more": args[1:], "named": {k: named[k] for k in named.keys() - {"input", "inplace", "out"}}}
        own = next((path for value in (*args, *named.values()) if (path := self._name(value))), "")
        rows = ("input", "other") if op in ADDED else ("input",)  # have one for each example
        before = {word: self._first(value, word in rows) for word, value in given.items()}
        result = call()
        first = result[0] if isinstance(result, tuple) and result else result
        if not isinstance(first, Tensor) or not first.is_floating_point() or first.dim() == 0:
            return result
        if op in ADDED and not (isinstance(given.get("other"), Tensor) and given["other"].dim() and not _flat(given)):
            return result
        if self._shares(op, given):
            return result
        if len(self.steps) >= self._most:
            self.left += 1
            return result
        if own.startswith("members."):
            self._member = int(own.split(".")[1])
        turned = op in RECURRENT and len(args) > TURNED and args[TURNED] is False
        if first.dim() == 3 and (turned or op == "multi_head_attention_forward"):  # moments come first
            first = first.transpose(0, 1)
        out = first[0].detach().float().clone()
        path = own.rpartition(".")[0] or own
        self.steps.append(Step(op, path, self._member, before, out.reshape(1) if out.dim() == 0 else out))
        return result

    def _shares(self, op: str, given: Mapping[str, Any]) -> bool:
        """Whether the call weighs the members of an ensemble, one number for each: that is no layer."""
        if op in MATRIX:
            return given["input"].dim() < 2
        other = given.get("other")
        return op in ADDED and other.numel() == len(other) > 0 and other.dim() == 3 and not self._name(other)

    def _first(self, value: Any, rows: bool) -> Any:
        """A copy of a tensor's first row, as the call may change it in place; all of what has none or is the net's."""
        if not isinstance(value, Tensor):
            return value
        if not rows or self._name(value) or isinstance(value, nn.Parameter) or not value.dim():
            return value.detach()
        held = any(value is buffer for buffer in self._model.buffers())
        return value.detach() if held else value.detach()[:1].float().clone()


def _flat(given: Mapping[str, Any]) -> bool:
    return not isinstance(given.get("input"), Tensor) or not given["input"].dim()


Terms = dict[str, Any]  # what `under` tells: numbers, lists of numbers, and tensors in "grids"


def under(steps: list[Step], at: int, spot: tuple[int, ...], most: int = 4) -> Terms:
    """The number of step `at` at `spot` (an index of its output) taken apart.

    "kind" says how: products (terms, bias), pool, unit, norm, sum, softmax, or value where it is not told. "value" is
    the net's own, "total" what the terms add up to in float64; "then" is what the next steps make of it. "grids" holds
    tensors: of a convolution the `most` strongest maps' patches, kernels and products.
    """
    step = steps[at]
    tell = _TOLD.get(step.op) or (_unit if step.op in UNITS else _value)
    try:
        told = tell(step, spot, most)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        told = {"kind": "value"}  # called in a way that has no formula here, for instance with more dimensions
    return {"grids": {}, **told, "op": step.op, "value": float(step.out[spot]), "then": _then(steps, at, spot)}


def kernel(step: Step, unit: int, most: int = 64) -> Tensor | None:
    """The weights of one unit: "I h w" of a convolution, at most `most` of its input maps; None for other steps."""
    weight = step.given.get("weight")
    if step.op == "conv2d" and isinstance(weight, Tensor) and weight.dim() == 4:
        return weight[unit, :most].float()
    return None


def _then(steps: list[Step], at: int, spot: tuple[int, ...]) -> list[dict[str, Any]]:
    """What the steps that follow make of a number, up to the next that is no longer one to one."""
    found, now = [], steps[at].out
    for step in steps[at + 1 :]:
        given = step.given.get("input")
        fits = isinstance(given, Tensor) and given.shape[1:] == now.shape and step.out.shape == now.shape
        if step.op not in UNITS | NORMS | ADDED or not fits or not torch.equal(given[0], now):
            break
        found.append({"op": step.op, "value": float(step.out[spot])})
        now = step.out
    return found


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _convolution(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    given, (o, y, x) = step.given, spot
    weight, input = given["weight"], given["input"]
    image = (input[0] if input.dim() == 4 else input).double()
    (sy, sx), (dy, dx), groups = (
        _pair(given.get("stride", 1)),
        _pair(given.get("dilation", 1)),
        given.get("groups") or 1,
    )
    h, w = weight.shape[2:]
    padding = given.get("padding", 0)
    if isinstance(padding, str):
        span = ((h - 1) * dy, (w - 1) * dx) if padding == "same" else (0, 0)
        top, left = span[0] // 2, span[1] // 2
        bottom, right = span[0] - top, span[1] - left
    else:
        (top, left) = (bottom, right) = _pair(padding)
    image = nn.functional.pad(image, (left, right, top, bottom))
    share = weight.shape[1]
    first = o // (weight.shape[0] // groups) * share
    rows, columns = torch.arange(h) * dy + y * sy, torch.arange(w) * dx + x * sx
    patch = image[first : first + share][:, rows][:, :, columns]
    filters = weight[o].double()
    products = patch * filters
    sums = products.flatten(1).sum(1)
    bias = given.get("bias")
    chosen = sums.abs().argsort(descending=True, stable=True)[:most]
    rest = float(sums.sum() - sums[chosen].sum())
    grids = {"patch": patch[chosen].float(), "kernel": filters[chosen].float(), "product": products[chosen].float()}
    bend = float(bias[o]) if isinstance(bias, Tensor) else 0.0
    return {
        "kind": "products", "terms": [{"of": first + int(c), "sum": float(sums[c])} for c in chosen],
        "rest": {"count": len(sums) - len(chosen), "sum": rest}, "bias": bend, "total": float(sums.sum()) + bend,
        "grids": grids, "corner": [y * sy - top, x * sx - left], "size": [(h - 1) * dy + 1, (w - 1) * dx + 1],
    }  # fmt: skip


def _line(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    """A convolution along one dimension, as one over maps of a single row."""
    given = {**step.given, "input": step.given["input"][0][:, None], "weight": step.given["weight"][:, :, None]}
    for word, none in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value = given.get(word, none)
        given[word] = value if isinstance(value, str) else (none, _pair(value)[0])
    return _convolution(step._replace(given=given), (spot[0], 0, spot[1]), most)


def _linear(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    given, unit, bias = step.given, spot[-1], step.given.get("bias")
    if step.op == "linear":
        row, weight = given["input"][0], given["weight"][unit]
    else:
        row, other = given["input"][0], given["other"]
        weight = other if other.dim() == 1 else other[:, unit]
        if other.dim() > 2:
            return {"kind": "value"}
    row = row[spot[:-1]] if row.dim() > 1 else row
    row, weight = row.double(), weight.double()
    products = row * weight
    chosen = products.abs().argsort(descending=True, stable=True)[: 3 * most]
    bend = 0.0 if not isinstance(bias, Tensor) else float(bias[unit]) if bias.dim() == 1 else float(bias)
    terms = [{"of": int(k), "input": float(row[k]), "weight": float(weight[k]), "sum": float(products[k])}
             for k in chosen]  # fmt: skip
    rest = {"count": len(products) - len(chosen), "sum": float(products.sum() - products[chosen].sum())}
    return {"kind": "products", "terms": terms, "rest": rest, "bias": bend, "total": float(products.sum()) + bend}


def _pool(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    given, (c, y, x) = step.given, spot
    image = given["input"][0][c].double()
    largest = "max" in step.op
    if step.op.startswith("adaptive"):
        rows, columns = step.out.shape[1:]
        top, left = y * image.shape[0] // rows, x * image.shape[1] // columns
        bottom, right = math.ceil((y + 1) * image.shape[0] / rows), math.ceil((x + 1) * image.shape[1] / columns)
        patch, count = image[top:bottom, left:right], (bottom - top) * (right - left)
    else:
        h, w = _pair(given["kernel_size"])
        sy, sx = _pair(given.get("stride") or given["kernel_size"])
        py, px = _pair(given.get("padding", 0))
        dy, dx = _pair(given.get("dilation", 1)) if largest else (1, 1)
        top, left = y * sy - py, x * sx - px
        rows = [k for k in range(top, top + h * dy, dy) if 0 <= k < image.shape[0]]
        columns = [k for k in range(left, left + w * dx, dx) if 0 <= k < image.shape[1]]
        patch = image[rows][:, columns]
        inside = (min(top + h, image.shape[0] + py) - top) * (min(left + w, image.shape[1] + px) - left)
        count = given.get("divisor_override") or (inside if given.get("count_include_pad", True) else patch.numel())
    total = float(patch.max()) if largest else float(patch.sum()) / count
    return {"kind": "pool", "how": "largest" if largest else "mean", "count": count, "total": total,
            "grids": {"patch": patch.float()[None]}, "terms": [{"of": c}], "corner": [top, left],
            "size": list(patch.shape)}  # fmt: skip


def _unit(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    call = getattr(torch, step.op, None) or getattr(nn.functional, step.op)
    x = step.given["input"][0][spot].double()
    more = [value for value in step.given["more"] if value is not True]  # True: in place
    return {"kind": "unit", "input": float(x), "total": float(call(x.clone(), *more, **step.given["named"]))}


def _norm(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    given, x = step.given, step.given["input"][0].double()
    gain, shift, eps = given.get("weight"), given.get("bias"), given.get("eps", 1e-5)
    where: Any = spot[0]
    if step.op == "batch_norm":
        mean, variance = float(given["running_mean"][spot[0]]), float(given["running_var"][spot[0]])
    else:
        if step.op == "layer_norm":
            block, where = x[spot[:-1]] if len(given["normalized_shape"]) == 1 else x, spot[-1]
        else:
            size = len(x) // given["num_groups"]
            block = x[spot[0] // size * size : (spot[0] // size + 1) * size]
        mean, variance = float(block.mean()), float(block.var(correction=0))
    scale = 1.0 if gain is None else float(gain[where])
    offset = 0.0 if shift is None else float(shift[where])
    total = (float(x[spot]) - mean) / math.sqrt(variance + eps) * scale + offset
    return {"kind": "norm", "input": float(x[spot]), "mean": mean, "spread": math.sqrt(variance + eps), "gain": scale,
            "shift": offset, "total": total}  # fmt: skip


def _sum(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    def part(value: Tensor) -> float:
        value = value[0] if value.dim() > step.out.dim() else value
        return float(value.expand(step.out.shape)[spot].double())

    parts = [part(step.given["input"]), part(step.given["other"])]
    return {"kind": "sum", "terms": [{"sum": value} for value in parts], "total": sum(parts)}


def _softmax(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    if step.given.get("dim") not in (step.out.dim(), -1):  # over the last one alone
        return {"kind": "value"}
    scores, spot = step.given["input"][0][spot[:-1]].double(), spot[-1:]
    powers = (scores - scores.max()).exp()
    chosen = powers.argsort(descending=True, stable=True)[: 3 * most]
    return {"kind": "softmax", "terms": [{"of": int(k), "input": float(scores[k]), "sum": float(powers[k])}
                                         for k in chosen],
            "rest": {"count": len(powers) - len(chosen), "sum": float(powers.sum() - powers[chosen].sum())},
            "input": float(scores[spot]), "greatest": float(scores.max()),
            "over": float(powers.sum()), "total": float(powers[spot] / powers.sum())}  # fmt: skip


def _value(step: Step, spot: tuple[int, ...], most: int) -> Terms:
    return {"kind": "value", "total": float(step.out[spot])}


_TOLD: dict[str, Callable[[Step, tuple[int, ...], int], Terms]] = {
    "conv1d": _line, "conv2d": _convolution, "linear": _linear, **dict.fromkeys(MATRIX, _linear),
    **dict.fromkeys(POOLS, _pool),
    "batch_norm": _norm, "layer_norm": _norm, "group_norm": _norm, **dict.fromkeys(ADDED, _sum), "softmax": _softmax,
    **dict.fromkeys(RECURRENT | CELLS, _value),
}  # fmt: skip
