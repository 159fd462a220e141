"""What no attack can change: interval bounds, and the vote of a net under noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from .attack import Ball, Scores, identity, keyed

ABSTAIN = -1
DRAWS = 256  # at a time; another number would draw others


class Interval(Tensor):
    """A tensor of which only bounds are known. A net's own forward computes with it: each function that it calls is
    answered by the rule for bounds (Gowal et al. 2018, section 3). A subclass, since layers ask for a Tensor."""

    low: Tensor
    high: Tensor
    before: tuple[Tensor, Tensor, Tensor] | None  # low, high and weight of the linear layer that it comes from

    @staticmethod
    def of(low: Tensor, high: Tensor, before: tuple[Tensor, Tensor, Tensor] | None = None) -> Interval:
        made = low.detach().as_subclass(Interval)
        made.low, made.high, made.before = low, high, before
        return made

    @classmethod
    def __torch_function__(cls, func: Callable[..., Any], types: Any, args: Any = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:  # fmt: skip
        name = getattr(func, "__name__", str(func))
        given = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            if name in ASKS:
                return func(*args, **given)
            if name.strip("_") in MONOTONE:
                return each(func, args, given)
            rule = RULES.get(name.strip("_"))
            if rule is None:
                raise ValueError(f"interval bounds through {name!r} are not known")
            return rule(func, *args, **given)


ASKS = frozenset(("__get__", "dim", "size", "numel", "is_floating_point", "__len__", "is_complex", "element_size"))
MONOTONE = frozenset((
    "relu", "tanh", "sigmoid", "logsigmoid", "log_sigmoid", "leaky_relu", "elu", "softplus", "hardtanh", "relu6", "exp",
    "clamp", "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d",
    "mean", "sum", "flatten", "reshape", "view", "float", "double", "to", "contiguous", "permute", "transpose", "flip",
    "squeeze", "unsqueeze", "getitem", "pad", "clone", "detach", "expand", "unflatten", "boolean_dispatch", "cat",
))  # fmt: skip


def each(func: Callable[..., Any], args: Any, given: Mapping[str, Any]) -> Interval:
    """What rises with its input: the bounds of the answer are those of the input answered."""

    def take(value: Any, end: str) -> Any:
        if isinstance(value, Interval):
            return getattr(value, end)
        return type(value)(take(one, end) for one in value) if isinstance(value, list | tuple) else value

    return Interval.of(*(func(*take(tuple(args), end), **given) for end in ("low", "high")))


def linear(func: Callable[..., Tensor], x: Interval, weight: Tensor, bias: Tensor | None = None, *rest: Any,
           **given: Any) -> Interval:  # fmt: skip
    """Of a linear map the middle goes through the weights, the radius through their absolute values."""
    if isinstance(weight, Interval):
        raise ValueError("interval bounds through a product of two unknowns are not known")
    middle, radius = (x.high + x.low) / 2, (x.high - x.low) / 2
    middle = func(middle, weight, bias, *rest, **given)
    radius = func(radius, weight.abs(), None, *rest, **given)
    return Interval.of(middle - radius, middle + radius, (x.low, x.high, weight) if weight.dim() == 2 else None)


def scaled(func: Callable[..., Tensor], x: Any, y: Any) -> Interval:
    """Times, or divided by, what is known."""
    if (isinstance(x, Interval) and isinstance(y, Interval)) or (isinstance(y, Interval) and "div" in func.__name__):
        raise ValueError("interval bounds through a product of two unknowns are not known")
    ends = [
        func(one, y) if isinstance(x, Interval) else func(x, one) for one in _ends(x if isinstance(x, Interval) else y)
    ]
    return Interval.of(torch.minimum(*ends), torch.maximum(*ends))


def added(func: Callable[..., Tensor], x: Any, y: Any, **given: Any) -> Interval:
    """The sum."""
    (a, b), (c, d) = _ends(x), _ends(y)
    return Interval.of(func(a, c, **given), func(b, d, **given))


def taken(func: Callable[..., Tensor], x: Any, y: Any) -> Interval:
    """The difference: lowest where the other is highest."""
    x, y = (y, x) if "rsub" in func.__name__ else (x, y)
    (a, b), (c, d) = _ends(x), _ends(y)
    return Interval.of(a - d, b - c)


def negated(func: Callable[..., Tensor], x: Interval) -> Interval:
    """Less than nothing: the ends change places."""
    return Interval.of(-x.high, -x.low)


def batch_norm(func: Callable[..., Tensor], x: Interval, mean: Tensor | None, variance: Tensor | None,
               weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-5) -> Interval:  # fmt: skip
    """A gain and a shift for each unit, by the running figures; a batch's own would depend on the attack."""
    if training or mean is None or variance is None:
        raise ValueError("interval bounds through batch normalisation want a net in evaluation mode")
    shape = (1, -1, *[1] * (x.low.dim() - 2))
    gain = ((1 if weight is None else weight) / (variance + eps).sqrt()).view(shape)
    shift = (0 if bias is None else bias) - mean * gain.flatten()
    ends = [one * gain for one in _ends(x)]
    return Interval.of(torch.minimum(*ends) + shift.view(shape), torch.maximum(*ends) + shift.view(shape))


def dropout(func: Callable[..., Tensor], x: Interval, p: float = 0.5, training: bool = True,
            inplace: bool = False) -> Interval:  # fmt: skip
    """Nothing, in evaluation mode."""
    if training and p:
        raise ValueError("interval bounds through dropout want a net in evaluation mode")
    return x


def _ends(x: Any) -> tuple[Any, Any]:
    return (x.low, x.high) if isinstance(x, Interval) else (x, x)


RULES: Mapping[str, Callable[..., Interval]] = {
    "linear": linear, "conv1d": linear, "conv2d": linear, "mul": scaled, "rmul": scaled, "div": scaled,
    "truediv": scaled, "add": added, "radd": added, "iadd": added, "sub": taken, "rsub": taken, "neg": negated,
    "batch_norm": batch_norm, "dropout": dropout,
}  # fmt: skip


def bounds(model: nn.Module | Scores, low: Float[Tensor, "B ..."],
           high: Float[Tensor, "B ..."]) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:  # fmt: skip
    """The least and the largest that each score can be for inputs between `low` and `high`, as far as intervals tell;
    differentiable by the weights. Rounding is not accounted for. ValueError: the model does something whose bounds
    are not known here, or trains batch normalisation or dropout."""
    answer = model(Interval.of(low, high))
    if not isinstance(answer, Interval):
        raise ValueError("interval bounds: the scores do not come from the input")
    return answer.low, answer.high


def worst(model: nn.Module | Scores, low: Float[Tensor, "B ..."], high: Float[Tensor, "B ..."],
          target: Int[Tensor, "B"]) -> Float[Tensor, "B K"]:  # fmt: skip
    """For each class the most that its score can be ahead of the target's; 0 for the target itself. As logits they are
    the worst case of (Gowal et al. 2018, (12)). Where the last layer is linear the difference is bounded as one linear
    map (their section 3, elision), which is tighter than the difference of bounds. ValueError: as `bounds`."""
    answer = model(Interval.of(low, high))
    if not isinstance(answer, Interval):
        raise ValueError("interval bounds: the scores do not come from the input")
    own = F.one_hot(target, answer.low.shape[1]).bool()
    if answer.before is None:
        return (answer.high - answer.low.gather(1, target[:, None])).masked_fill(own, 0.0)
    low, high, weight = answer.before
    radius = (high - low) / 2
    ahead = (answer.low + answer.high) / 2
    ahead = ahead - ahead.gather(1, target[:, None])
    change = (weight[None] - weight[target][:, None]).abs()  # B K D
    return (ahead + torch.einsum("bkd,bd->bk", change, radius)).masked_fill(own, 0.0)


@torch.no_grad()
def certified(model: nn.Module | Scores, input: Float[Tensor, "B ..."], target: Int[Tensor, "B"],
              ball: Ball) -> Bool[Tensor, "B"]:  # fmt: skip
    """Where no change in the ball can mislead. The 2-norm's ball is bounded by the box around it. ValueError: as
    `bounds`."""
    low, high = (input - ball.size).clamp(min=ball.low), (input + ball.size).clamp(max=ball.high)
    parts = []
    for a, b, true in zip(low.split(256), high.split(256), target.split(256), strict=True):
        ahead = worst(model, a, b, true)
        own = F.one_hot(true, ahead.shape[1]).bool()
        parts.append(ahead.masked_fill(own, -torch.inf).amax(1) < 0)
    return torch.cat(parts)


class Smoothed(NamedTuple):
    """Of a net under noise: the class that most draws vote for, -1 where too few agree, and the radius in the 2-norm
    within which, with chance 1 - alpha, no change alters it; 0 where it abstains."""

    answer: Int[Tensor, "B"]
    radius: Float[Tensor, "B"]


def votes(scores: Scores, input: Float[Tensor, "1 ..."], sigma: float, draws: int, classes: int,
          rng: torch.Generator) -> Int[Tensor, "K"]:  # fmt: skip
    """How often each class is the answer when normal noise of spread `sigma` is added."""
    found = torch.zeros(classes, dtype=torch.long, device=input.device)
    for begin in range(0, draws, DRAWS):
        count = min(DRAWS, draws - begin)
        x = input + sigma * torch.randn(count, *input.shape[1:], generator=rng).to(input)
        found += torch.bincount(scores(x).argmax(-1), minlength=classes)
    return found


@torch.no_grad()
def smoothed(scores: Scores, input: Float[Tensor, "B ..."], sigma: float, *, draws: int = 10000, select: int = 100,
             alpha: float = 0.001, seed: int = 0) -> Smoothed:  # fmt: skip
    """Certified answers of the smoothed net (Cohen, Rosenfeld & Kolter 2019, CERTIFY): `select` draws choose the class,
    `draws` others bound its chance p from below; the radius is sigma x the normal quantile of p. In the input's
    units."""
    classes = scores(input[:1]).shape[1]
    answers, radii = [], []
    for one in input.split(1):
        rng = keyed(int(identity(one)), seed)
        said = int(votes(scores, one, sigma, select, classes, rng).argmax())
        count = int(votes(scores, one, sigma, draws, classes, rng)[said])
        chance = least_chance(count, draws, alpha)
        sure = chance > 0.5
        answers.append(said if sure else ABSTAIN)
        radii.append(sigma * quantile(chance) if sure else 0.0)
    return Smoothed(torch.tensor(answers), torch.tensor(radii))


@torch.no_grad()
def majority(scores: Scores, input: Float[Tensor, "B ..."], sigma: float, *, draws: int = 1000, alpha: float = 0.001,
             seed: int = 0) -> Int[Tensor, "B"]:  # fmt: skip
    """The smoothed net's answers, -1 where the two most frequent are not apart with chance 1 - alpha (Cohen et al.
    2019, PREDICT: a two-sided binomial test)."""
    classes = scores(input[:1]).shape[1]
    answers = []
    for one in input.split(1):
        top = votes(scores, one, sigma, draws, classes, keyed(int(identity(one)), seed)).topk(2)
        both = int(top.values.sum())
        sure = 2 * math.exp(tail(int(top.values[0]), both, 0.5)) <= alpha
        answers.append(int(top.indices[0]) if sure else ABSTAIN)
    return torch.tensor(answers)


def tail(count: int, draws: int, chance: float) -> float:
    """The logarithm of the chance of `count` or more successes in so many draws."""
    if count <= 0:
        return 0.0
    n, k = torch.tensor(float(draws)).double(), torch.arange(count, draws + 1).double()
    ways = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    p = torch.tensor(chance, dtype=torch.double)
    return min(0.0, float((ways + torch.xlogy(k, p) + torch.special.xlog1py(n - k, -p)).logsumexp(0)))


def least_chance(count: int, draws: int, alpha: float) -> float:
    """The lower end of the one-sided interval of Clopper & Pearson (1934): with a smaller chance than this, so many
    successes come with less than `alpha`."""
    if count == 0:
        return 0.0
    low, high = 0.0, count / draws
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if tail(count, draws, middle) > math.log(alpha) else (middle, high)
    return low


def quantile(chance: float) -> float:
    """The standard normal quantile."""
    return float(math.sqrt(2) * torch.erfinv(torch.tensor(2 * chance - 1).double()))
