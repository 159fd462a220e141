"""An experiment as a plain PyTorch script: the same data, net, rule and changes, and so the same curve."""

from __future__ import annotations

import inspect

from ...parts import plane
from ...parts.formula import parse, written
from .points import PLACE, VALUE
from .settings import plain
from .trainer import Trainer

ACTIVATIONS = {"tanh": "nn.Tanh()", "relu": "nn.ReLU()", "logistic": "nn.Sigmoid()", "linear": "nn.Identity()"}
GAINS = {"relu": "2**0.5", "logistic": "4.0"}
RULES = {
    "sgd": "SGD(net.parameters(), lr={lr})",
    "momentum": "SGD(net.parameters(), lr={lr}, momentum=0.9)",
    "nesterov": "SGD(net.parameters(), lr={lr}, momentum=0.9, nesterov=True)",
    "adagrad": "Adagrad(net.parameters(), lr={lr})",
    "rmsprop": "RMSprop(net.parameters(), lr={lr})",
    "adam": "Adam(net.parameters(), lr={lr})",
}


def script(trainer: Trainer, epochs: int) -> str:
    """The text of a script that prints epoch, training loss and test loss of each epoch until `epochs`."""
    made = trainer.settings
    words = ", ".join(f"{name} {value}" for name, value in plain(made).items()
                      if name in ("data", "inputs", "hidden", "activation", "method", "lr", "seed"))  # fmt: skip
    lines = [
        f'"""An experiment of the milestones playground: {words}.',
        "",
        'Needs PyTorch alone. Prints epoch, training loss and test loss: the curve that the playground showed."""',
        "",
        "import math",
        "",
        "import torch",
        "from torch import Tensor, nn",
        "from torch.nn import functional as F",
        "",
        f"EPOCHS, BATCH, SEED = {epochs}, {made.batch}, {made.seed}",
        "rng = torch.Generator().manual_seed(SEED)",
        "",
        *_data(trainer),
        "",
        "order = torch.randperm(len(point), generator=rng)",
        f"(x, y), target, cut = point[order].T, target[order], {trainer.cut}  # the first of them are for training",
        f"inputs = torch.stack([{', '.join(written(parse(text)) for text in made.inputs)}], 1)",
        "mean, spread = inputs[:cut].mean(0), inputs[:cut].std(0, correction=0)",
        "spread[spread == 0] = 1",
        "inputs = (inputs - mean) * (1 / spread)",
        *(["middle, scale = target[:cut].mean(), target[:cut].std(correction=0)"] if made.problem == "values" else []),
        "",
        *_net(trainer),
        "",
        "",
        "def loss(part):",
        *(f"    {line}" for line in _loss(trainer)),
        "",
        "",
        *_training(trainer, epochs),
    ]
    return "\n".join(lines) + "\n"


def _data(trainer: Trainer) -> list[str]:
    made = trainer.settings
    if made.data == "own":
        assert trainer.own is not None  # a trainer of own points has them
        values = ", ".join(str(n) for n in trainer.own.rows.flatten().tolist())
        target = "rows[:, 2]" if made.problem == "classes" else f"rows[:, 2] / {VALUE}"
        return [f"rows = torch.tensor([{values}]).view(-1, 3)", f"point, target = rows[:, :2] / {PLACE}, {target}"]
    make = {**plane.CLASSES, **plane.VALUES, "above": plane.above, "surface": plane.surface}[made.data]
    source = inspect.getsource(make).replace("f: Callable[[Tensor], Tensor]", "f").replace(
        "f: Callable[[Tensor, Tensor], Tensor]\n            ", "f").replace("  # fmt: skip", "")  # fmt: skip
    words = {"classes": f", {made.classes}, rng", "values": ", rng"}[made.problem]
    if made.data in ("above", "surface"):
        words = f", rng, lambda {'x' if made.data == 'above' else 'x, y'}: {written(made.function)}"
    call = f"point, target = {made.data}({made.examples}, {made.noise / 100}{words})"
    return ["", *source.rstrip().split("\n"), "", "", call]


def _net(trainer: Trainer) -> list[str]:
    made, lines = trainer.settings, ["net = nn.Sequential("]
    for k, layer in enumerate(trainer.model.layers):
        last = k == len(trainer.model.layers) - 1
        after = ")" if last else f", {ACTIVATIONS[made.activation]},"
        lines.append(f"    nn.Linear({layer.in_features}, {layer.out_features}){after}")
    gain = GAINS.get(made.activation)
    hidden = f", {gain} if layer is not layers[-1] else 1.0" if gain else ""
    return [
        *lines,
        "layers = [layer for layer in net if isinstance(layer, nn.Linear)]",
        "start = torch.Generator().manual_seed(SEED)",
        "for layer in layers:",
        f"    nn.init.xavier_uniform_(layer.weight{hidden}, generator=start)",
        "    nn.init.zeros_(layer.bias)",
    ]


def _loss(trainer: Trainer) -> list[str]:
    if trainer.model.output == "linear":
        return ["gap = net(inputs[part])[:, 0] * scale + middle - target[part]",
                "return (gap / scale).square().mean() / 2"]  # fmt: skip
    if trainer.model.output == "units":
        return ["gap = F.logsigmoid(net(inputs[part])).exp() - F.one_hot(target[part], net[-1].out_features)",
                "return gap.square().sum(1).mean() / 2"]  # fmt: skip
    if trainer.model.output == "logistic":
        return ["scores = F.pad(net(inputs[part]), (1, 0))  # of two classes: 0, and what the net says",
                "return F.cross_entropy(scores, target[part])"]  # fmt: skip
    return ["return F.cross_entropy(net(inputs[part]), target[part])"]


def _training(trainer: Trainer, epochs: int) -> list[str]:
    made = trainer.settings
    changes = [one for one in trainer.changes if one.at < epochs * trainer.per_epoch]
    penalty = {"none": "", "l1": " + decay * sum(layer.weight.abs().sum() for layer in layers)",
               "l2": " + decay / 2 * sum(layer.weight.square().sum() for layer in layers)"}[made.penalty]  # fmt: skip
    lines = [f"optimizer = torch.optim.{RULES[made.method].format(lr=made.lr)}"]
    if penalty:
        lines.append(f"decay = {made.decay}")
    changed: list[str] = []
    if changes:
        lines.append("changes = {  # made by hand before these updates")
        for at in dict.fromkeys(one.at for one in changes):
            here = ", ".join(repr((one.what, one.layer, one.unit, one.source, one.value)) for one in changes
                             if one.at == at)  # fmt: skip
            lines.append(f"    {at}: [{here}],")
        lines.append("}")
        changed = [
            "for what, layer, unit, source, value in changes.get(step, []):",
            "    with torch.no_grad():",
            "        if what == 'w':",
            "            layers[layer].weight[unit, source] = value",
            "        elif what == 'b':",
            "            layers[layer].bias[unit] = value",
            "        elif what == 'lr':",
            "            optimizer.param_groups[0]['lr'] = value",
            "        else:",
            "            decay = value",
        ]
    lines.append("step = 0")
    return [
        *lines,
        "for epoch in range(EPOCHS + 1):",
        "    with torch.no_grad():",
        "        print(epoch, *(f'{float(loss(part)):.8g}' for part in (slice(cut), slice(cut, None))))",
        "    if epoch == EPOCHS:",
        "        break",
        "    order = torch.randperm(cut, generator=torch.Generator().manual_seed(SEED + 1 + epoch))",
        "    for part in order.split(BATCH):",
        *(f"        {line}" for line in changed),
        "        optimizer.zero_grad()",
        f"        (loss(part){penalty}).backward()",
        "        optimizer.step()",
        "        step += 1",
    ]
