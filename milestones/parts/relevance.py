"""Maps that change how signals flow back through a net: guided backpropagation, deconvolution, layer-wise relevance,
and Grad-CAM.

They watch PyTorch's functions while a net computes, in place of hooks on its layers: a unit is found whether it is a
layer, a function, used twice or works in place, and nothing is left on the net, also when it raised. All raise
NotImplementedError with a sentence where a net has nothing that they could use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .explain import Question, pieces, room, told

Call = Callable[[], Any]
Change = Callable[[str, Call, tuple[Any, ...], dict[str, Any]], Any]


class Watched(TorchFunctionMode):
    """While entered, each PyTorch function's result is what ``change(name, call, args, named)`` makes of it; ``call()``
    is what the function gives."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        return self.change(getattr(func, "__name__", ""), lambda: func(*args, **named), args, named)


def is_rectifier(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Whether this call is max(x, 0), in whichever way it is written."""
    if name in ("relu", "relu_"):
        return True
    low = named.get("min", args[1] if len(args) > 1 else None)
    high = named.get("max", args[2] if len(args) > 2 else None)
    return (
        name.rstrip("_") in ("clamp", "clamp_min", "clip") and not isinstance(low, Tensor) and low == 0 and high is None
    )


def in_place(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Whether this call changes its input."""
    as_word = name in ("relu", "leaky_relu", "elu", "silu", "hardtanh", "relu6", "hardswish", "dropout", "threshold")
    return (name.endswith("_") and not name.endswith("__")) or bool(named.get("inplace")) or (
        as_word and len(args) > 1 and args[-1] is True)  # fmt: skip


class Bent(torch.autograd.Function):
    """max(x, 0); only what is positive flows back, and if `guided` only where x was positive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, guided: bool) -> Tensor:
        ctx.mask = x > 0 if guided else None
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        up = slopes[0].clamp(min=0)
        return (up if ctx.mask is None else up * ctx.mask), None


def rectified_back(asked: Question, guided: bool, chunk: int = 0) -> Tensor:
    """ "B ...": the gradient with the backward rule of its rectifiers changed, as ``Bent`` has it."""
    found = []

    def change(name: str, call: Call, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not is_rectifier(name, args, named):
            return call()
        x = args[0] if args else named["input"]
        found.append(name)
        y = Bent.apply(x, guided)
        return x.copy_(y) if in_place(name, args, named) else y

    def after(scores: Tensor) -> Tensor:
        if not found:
            raise NotImplementedError("it changes the way back through ReLUs, and this net has none")
        return scores

    return flowed(asked, change, after, chunk)


def flowed(asked: Question, change: Change, after: Callable[[Tensor], Tensor], chunk: int) -> Tensor:
    """The gradient "B ..." of what is explained, while PyTorch's functions are changed; `after` takes the number that
    is explained, "N"."""
    maps = torch.zeros_like(asked.input)
    for part in pieces(len(maps), chunk or room(asked)):
        x = asked.input[part].requires_grad_()
        with torch.enable_grad():
            start = x.clone()
            with Watched(change):
                scores = asked.scores(start)
            maps[part] = torch.autograd.grad(after(told(scores, asked.target[part])).sum(), x)[0]
    return maps


def guided_backpropagation(asked: Question, chunk: int = 0) -> Tensor:
    """ "B ...": Springenberg, Dosovitskiy, Brox & Riedmiller (2014), (2)."""
    return rectified_back(asked, True, chunk)


def deconvolution(asked: Question, chunk: int = 0) -> Tensor:
    """ "B ...": Zeiler & Fergus (2014), section 2.1: ReLUs on the way back, max-pooling by its switches."""
    return rectified_back(asked, False, chunk)


# What relevance passes through as the gradient does: sums with weights that do not depend on the input.
LINEAR = frozenset((
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "batch_norm", "dropout",
    "dropout2d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "mean", "sum",
    "add", "sub", "__add__", "__radd__", "__iadd__", "__sub__", "__rsub__", "__isub__", "neg", "__neg__", "view",
    "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "permute", "transpose", "swapaxes", "movedim",
    "t", "contiguous", "squeeze", "unsqueeze", "pad", "cat", "concat", "stack", "__getitem__", "__get__", "select",
    "narrow", "flip", "roll", "float", "double", "to", "type_as", "clone", "expand", "expand_as", "repeat", "tile",
    "chunk", "split", "unbind", "unfold", "index_select", "gather", "diagonal", "pixel_shuffle", "interpolate",
))  # fmt: skip
WINNERS = frozenset(("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "amax"))
PRODUCTS = frozenset((
    "mul", "multiply", "__mul__", "__rmul__", "__imul__", "div", "true_divide", "__truediv__", "__itruediv__", "matmul",
    "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "addmv", "baddbmm", "einsum",
))  # fmt: skip
UNITS = frozenset((
    "relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "softplus", "hardtanh", "relu6",
    "hardswish", "clamp", "clamp_min", "clip", "mish",
))  # fmt: skip


class Passed(torch.autograd.Function):
    """y as it is; the relevance of a unit's output becomes that of its total input z: back flows y / z, with `epsilon`
    to keep z from 0."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, y: Tensor, epsilon: float) -> Tensor:
        ctx.ratio = y / away(z, epsilon)
        return y.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        return slopes[0] * ctx.ratio, None, None


def away(z: Tensor, epsilon: float) -> Tensor:
    """z moved away from 0 by `epsilon`."""
    return z + epsilon * torch.where(z < 0, -1.0, 1.0).to(z.dtype)


def relevance(asked: Question, epsilon: float = 1e-6, chunk: int = 0) -> Tensor:
    """ "B ...": layer-wise relevance with the epsilon rule (Bach et al. 2015, (58)), about an input of zeros.

    As a gradient in which each unit's slope is its output over its total input (Ancona, Ceolini, Oztireli & Gross
    2018, proposition 2): layers between units are one sum, so that batch normalisation is merged with the layer before
    it. In a net without biases the map's sum is the score; biases, the shift of a normalisation among them, keep their
    share. NotImplementedError: a function without a rule, such as attention or a recurrent layer.
    """

    def depends(value: Any) -> bool:
        return isinstance(value, Tensor) and value.requires_grad and not value.is_leaf

    def change(name: str, call: Call, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        sources = [*args, *named.values()]
        mine = [v for v in sources if depends(v)]
        mine += [v for many in sources if isinstance(many, list | tuple) for v in many if depends(v)]
        plain = name.rstrip("_") if not name.endswith("__") else name
        if not mine:
            return call()
        if plain in UNITS:
            x = args[0] if args else named["input"]
            z = x.detach().clone()
            with torch.no_grad():
                twin = (z.clone(), *args[1:])  # a call in place must not change x before it is read
                y = repeat(name, twin, named)
            found = Passed.apply(x, y, epsilon)
            return x.copy_(found) if in_place(name, args, named) else found
        if plain in PRODUCTS and len(mine) == 1 and not (plain.endswith(("div", "divide", "truediv__")) and
                                                         mine[0] is not args[0]):  # fmt: skip
            return call()
        trained = named.get("training", False) and name in ("batch_norm", "dropout", "dropout2d")
        result = call()
        tensors = result if isinstance(result, tuple | list) else [result]
        moving = any(isinstance(t, Tensor) and t.requires_grad for t in tensors)
        if moving and (trained or plain not in LINEAR | WINNERS):
            what = f"{name} in training" if trained else name
            raise NotImplementedError(f"relevance has no rule for {what}, which this net uses")
        return result

    def after(score: Tensor) -> Tensor:
        return score * (score / away(score, epsilon)).detach()

    return flowed(asked, change, after, chunk) * asked.input


def repeat(name: str, args: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    """A unit's function on another input."""
    words = {key: value for key, value in named.items() if key not in ("input", "inplace")}
    plain = name.rstrip("_")
    function = getattr(F, plain, None) or getattr(torch, plain)
    return function(*args, **words)


CONVOLUTIONS = ("conv2d", "conv_transpose2d")


def grad_cam(asked: Question, chunk: int = 0) -> Tensor:
    """ "B 1 H W", never negative: the maps of the last convolution that still is a map, after their units, weighted by
    their mean gradient (Selvaraju et al. 2017, (1), (2)) and enlarged to the picture.

    NotImplementedError: no convolution, or an answer that does not all go through those maps.
    """
    if asked.input.dim() != 4:
        raise NotImplementedError("it needs pictures, and a net with convolutions")
    maps = []
    for part in pieces(len(asked.input), chunk or room(asked)):
        seen: list[Tensor] = []

        def change(
            name: str, call: Call, args: tuple[Any, ...], named: dict[str, Any], seen: list[Tensor] = seen
        ) -> Any:
            made = call()
            is_map = isinstance(made, Tensor) and made.dim() == 4 and made.requires_grad and made.shape[2:].numel() > 1
            if is_map and (name in CONVOLUTIONS or (seen and made.shape[2:] == seen[0].shape[2:])):
                seen[:] = [made]
            return made

        x = asked.input[part].requires_grad_()
        with torch.enable_grad():
            start = x.clone()
            with Watched(change):
                scores = asked.scores(start)
            score = told(scores, asked.target[part]).sum()
            if not seen:
                raise NotImplementedError("it needs the maps of a convolution, and this net has none")
            if bypassed(score, seen[0], x):
                raise NotImplementedError(
                    "not all of the answer goes through one convolution's maps: the net is many nets, looks at the "
                    "picture more than once, or has a way around them"
                )
            slope = torch.autograd.grad(score, seen[0])[0]
        weight = slope.mean((2, 3), keepdim=True)
        cam = (weight * seen[0].detach()).sum(1, keepdim=True).clamp(min=0)
        maps.append(F.interpolate(cam, asked.input.shape[2:], mode="bilinear", align_corners=False))
    return torch.cat(maps)


def bypassed(score: Tensor, maps: Tensor, input: Tensor) -> bool:
    """Whether the score depends on the input by a way that does not lead through `maps`."""
    stop, seen = maps.grad_fn, set()
    todo = [score.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node is stop or node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", None) is input:
            return True
        todo += [after for after, _ in node.next_functions]
    return False
