"""What the layers of a net put out, seen while it runs: modules and bare functions, and nothing stays on the net."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

KINDS = {  # where torch keeps a module -> what it does
    "conv": "product", "linear": "product", "rnn": "product", "activation": "unit", "pooling": "pool",
    "adaptive": "product", "batchnorm": "norm", "normalization": "norm", "instancenorm": "norm",
}  # fmt: skip
UNITS = frozenset((
    "relu", "relu6", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu", "mish", "leaky_relu", "prelu",
    "softplus", "hardtanh", "hardswish", "logsigmoid",
))  # fmt: skip
NORMS = frozenset(("batch_norm", "layer_norm", "group_norm", "instance_norm", "local_response_norm", "rms_norm"))
RECURRENT = frozenset(("lstm", "gru", "rnn_tanh", "rnn_relu"))
CELLS = frozenset(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"))
PRODUCTS = frozenset((
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "matmul",
    "rmatmul", "mm", "bmm", "mv", "addmm", "baddbmm", "addmv", "einsum", "scaled_dot_product_attention",
    "multi_head_attention_forward", *RECURRENT, *CELLS,
))  # fmt: skip
SUMS = frozenset(("add", "radd", "iadd"))


class Step(NamedTuple):
    """One thing that a net does on its way from input to scores."""

    name: str  # the module's path, or the parameter's name, or what a bare function comes after
    kind: str  # product, unit, pool, norm, sum, or module for what has parts of its own
    op: str  # as torch calls it: conv2d, relu, ...
    shape: tuple[int, ...]  # of what comes out, the batch first
    axis: int  # along which its units lie: 1 for maps, the last otherwise


class Layer(NamedTuple):
    """A product with what follows it, up to the next product."""

    name: str  # the product's
    total: str  # the step whose value is what a unit adds up, before it is bent
    out: str  # the step whose value the next layer sees, unless it is pooled
    pool: str  # the step that pools it; "" if none
    op: str
    shape: tuple[int, ...]  # of `total`, the batch first
    axis: int


class Watch(TorchFunctionMode):
    """Inside `with Watch(model, names) as seen:` each forward pass leaves its `steps`, and in `found` copies of what
    the named steps put out, as they were before anything changed them in place.

    Of a step that is reached several times the first is taken; `calls` counts. `work` holds the multiply-adds by name
    (biases are not counted), `used` the parameters. With `cut`, `found` holds what the rest of the pass hangs on: a
    gradient by it is that of all that comes after. When the block ends, also by an error, no hook is left.
    """

    def __init__(self, model: nn.Module, names: Iterable[str] = (), cut: bool = False) -> None:
        super().__init__()
        self.model, self.wanted, self.cut = model, frozenset(names), cut
        self.steps: list[Step] = []
        self.found: dict[str, Tensor] = {}
        self.calls: dict[str, int] = {}
        self.work: dict[str, int] = {}
        self.used: dict[str, set[str]] = {}
        self.ops: dict[str, str] = {}
        self._names = {id(weight): name for name, weight in model.named_parameters()}
        self._path: list[tuple[str, bool]] = []  # the modules that run now, and whether they are torch's own
        self._last = ""  # the product that ran last
        self._maps = False  # whether its units lie along axis 1
        self._hooks: list[Any] = []

    def __enter__(self) -> Watch:
        for path, module in self.model.named_modules():
            ready = type(module).__module__.startswith("torch.nn.") and not any(module.children())
            ready = ready or isinstance(module, nn.MultiheadAttention)  # has a part, which it does not call
            if path or ready:
                self._hooks.append(module.register_forward_pre_hook(self._into(path or "net", ready)))
                self._hooks.append(module.register_forward_hook(self._out_of(path or "net", ready)))
        super().__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)
        while self._hooks:
            self._hooks.pop().remove()

    def clear(self) -> None:
        """Forget what was seen; the next pass begins anew."""
        for seen in (self.steps, self.found, self.calls, self.work, self.used, self.ops, self._path):
            seen.clear()
        self._last = ""

    def _into(self, path: str, ready: bool) -> Callable[..., None]:
        return lambda module, inputs: self._path.append((path, ready))

    def _out_of(self, path: str, ready: bool) -> Callable[..., Any]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:  # fmt: skip
            self._path.pop()
            if any(inner for _, inner in self._path):
                return None
            out = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(out, Tensor):
                return None
            kind = "module"
            if ready:
                kind = KINDS.get(type(module).__module__.rsplit(".", 1)[-1], "other")
                kind = "product" if isinstance(module, nn.MultiheadAttention) else kind
                kind = "other" if isinstance(module, nn.Identity | nn.Softmax | nn.LogSoftmax) else kind
            if kind == "product":
                self._last, self._maps = path, isinstance(module, nn.modules.conv._ConvNd)
            turned = isinstance(module, nn.RNNBase | nn.MultiheadAttention) and not module.batch_first and out.dim() > 2
            kept = self._seen(path, kind, type(module).__name__, out.transpose(0, 1) if turned else out)
            if kept is None or not self.cut:
                return None
            kept = kept.transpose(0, 1) if turned else kept
            return (kept, *output[1:]) if isinstance(output, tuple) else kept

        return hook

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        op = getattr(func, "__name__", "").strip("_")
        if not (op in PRODUCTS or op in UNITS or op in NORMS or op in SUMS or "_pool" in op):
            return out
        own = [name for value in (*args, *kwargs.values()) if (name := self._parameter(value))]
        inner = next((path for path, ready in reversed(self._path) if ready), "")
        where = self._path[-1][0] if self._path else ""
        if op in PRODUCTS:
            name = inner or (own[0] if own else f"{where} {op}".strip())
            self.work[name] = self.work.get(name, 0) + multiply_adds(op, args, kwargs, out)
            self.ops.setdefault(name, op)
        else:
            name = inner or f"{self._last or where} {'sum' if op in SUMS else op}".strip()
        home = name if inner or op in PRODUCTS else self._last or name
        self.used.setdefault(home, set()).update(own)
        first = out[0] if isinstance(out, tuple) else out
        if inner or not isinstance(first, Tensor) or (op in SUMS and not _adds(args)):
            return out
        kind = "product" if op in PRODUCTS else "unit" if op in UNITS else "norm" if op in NORMS else "pool"
        kind = "sum" if op in SUMS else kind
        if kind == "product":
            self._last, self._maps = name, op.startswith("conv")
        kept = self._seen(name, kind, op, first)
        if kept is None or not self.cut:
            return out
        return (kept, *out[1:]) if isinstance(out, tuple) else kept

    def _parameter(self, value: Any) -> str:
        """The name of the parameter that `value` is or is a view of; "" if of none. Lists: of their first."""
        if isinstance(value, list | tuple) and value:
            value = value[0]
        if not isinstance(value, Tensor):
            return ""
        base = value._base
        return self._names.get(id(value), "") or (self._names.get(id(base), "") if base is not None else "")

    def _seen(self, name: str, kind: str, op: str, out: Tensor) -> Tensor | None:
        """Record a step; where it is wanted and cut, what the pass goes on with comes back."""
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.calls[name] > 1:
            return None
        axis = 1 if out.dim() == 2 or (self._maps and out.dim() > 2) else out.dim() - 1
        self.steps.append(Step(name, kind, op, tuple(out.shape), axis))
        if name not in self.wanted:
            return None
        if not self.cut:
            self.found[name] = out.clone()  # what comes next may change it in place
            return None
        self.found[name] = out.detach().clone().requires_grad_()
        return self.found[name].clone()


def _adds(args: Sequence[Any]) -> bool:
    """Whether two tensors are added, and not a number to one."""
    return len(args) > 1 and all(isinstance(one, Tensor) and one.dim() for one in args[:2])


def multiply_adds(op: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    """Products that `op` takes, each added to a sum; biases, activations and pooling are not counted."""
    named = {"weight": 1, "input": 0, "mat2": 1, "other": 1, "query": 0, "key": 1, "value": 2}

    def word(name: str, place: int | None = None) -> Any:
        place = named[name] if place is None else place
        return args[place] if len(args) > place else kwargs[name]

    if op.startswith("conv_transpose"):
        return word("input").numel() * math.prod(word("weight").shape[1:])
    if op.startswith("conv"):
        return out.numel() * math.prod(word("weight").shape[1:])
    if op == "linear":
        return out.numel() * word("weight").shape[-1]
    if op in RECURRENT:  # each matrix is used once for each example and moment
        weights = [group for group in args if isinstance(group, list | tuple)][-1]
        return math.prod(args[0].shape[:-1]) * sum(w.numel() for w in weights if w.dim() == 2)
    if op in CELLS:
        return math.prod(args[0].shape[:-1]) * (args[2].numel() + args[3].numel())
    if op == "scaled_dot_product_attention":
        return out.numel() * word("key").shape[-2] + math.prod(out.shape[:-1]) * math.prod(word("key").shape[-2:])
    if op == "multi_head_attention_forward":
        query, key, value = word("query"), word("key"), word("value")
        moments, others, width = math.prod(query.shape[:-1]), math.prod(key.shape[:-1]), query.shape[-1]
        read = others * width * (key.shape[-1] + value.shape[-1])
        return 2 * moments * width * width + read + 2 * moments * key.shape[0] * width
    if op == "einsum":
        return _einsum(args)
    if op in ("addmm", "baddbmm", "addmv"):
        return out.numel() * word("mat1", 1).shape[-1]
    left = args[1] if op == "rmatmul" else args[0]
    return out.numel() * left.shape[-1]


def _einsum(args: Sequence[Any]) -> int:
    """Every combination of the letters once, for two factors."""
    tensors = args[1] if isinstance(args[1], list | tuple) else args[1:]
    sizes: dict[str, int] = {}
    for letters, tensor in zip(args[0].split("->")[0].replace(" ", "").split(","), tensors, strict=True):
        before, dots, after = letters.partition("...")
        shape = tensor.shape
        sizes |= dict(zip(before, shape, strict=False)) | dict(zip(after[::-1], shape[::-1], strict=False))
        for place, size in enumerate(shape[len(before) : len(shape) - len(after)] if dots else ()):
            sizes[f".{place - (len(shape) - len(before) - len(after))}"] = size
    return math.prod(sizes.values())


def steps_of(model: nn.Module, run: Callable[[Tensor], Any], input: Shaped[Tensor, "B ..."]) -> list[Step]:
    """The steps of a pass through `run` whose output has one row for each example, in order."""
    with torch.no_grad(), Watch(model) as seen:
        run(input)
    return [step for step in seen.steps if step.shape[:1] == input.shape[:1]]


def layers_of(steps: Sequence[Step]) -> list[Layer]:
    """Steps told apart into layers: each product with its normalisation, sum, activation and pooling."""
    layers: list[Layer] = []
    bent = False
    for step in steps:
        if step.kind == "product":
            layers.append(Layer(step.name, step.name, step.name, "", step.op, step.shape, step.axis))
            bent = False
        elif layers and step.kind in ("norm", "sum", "unit") and step.shape == layers[-1].shape:
            now, last = layers[-1], step.kind == "unit" or bent
            layers[-1] = now._replace(out=step.name) if last else now._replace(total=step.name, out=step.name)
            bent = last
        elif layers and step.kind == "pool" and not layers[-1].pool:
            layers[-1] = layers[-1]._replace(pool=step.name)
    return layers


@torch.no_grad()
def responses(model: nn.Module, run: Callable[[Tensor], Any], input: Shaped[Tensor, "N ..."], names: Sequence[str],
              chunk: int, keep: Callable[[str, Tensor], Any] = lambda name, value: value
              ) -> dict[str, list[Any]]:  # fmt: skip
    """What `keep` makes of each named step's output, `chunk` examples at a time, in order."""
    kept: dict[str, list[Any]] = {name: [] for name in names}
    with Watch(model, names) as seen:
        for part in input.split(chunk):
            run(part)
            for name in names:
                kept[name].append(keep(name, seen.found[name]))
            seen.clear()
    return kept


@torch.no_grad()
def flat(model: nn.Module, run: Callable[[Tensor], Any], input: Shaped[Tensor, "N ..."], names: Sequence[str],
         chunk: int) -> dict[str, Float[Tensor, "N D"]]:  # fmt: skip
    """What each named step puts out, a row for each example."""
    found = responses(model, run, input, names, chunk, lambda name, value: value.flatten(1))
    return {name: torch.cat(parts) for name, parts in found.items()}
