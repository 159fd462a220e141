"""A run folder opened: the page, its settings and facts, and the model with its weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from .catalog import Entry, find, page, published_page
from .core.config import Config, changed
from .core.errors import UserError
from .core.folder import header, inside, read_json, read_object, read_weights
from .core.source import Choice
from .core.system import System
from .parts.ensemble import Ensemble
from .parts.gpt2 import EPSILON, GPT2, BytePairs, Shape

MOST_MEMBERS = 100


class Trained(NamedTuple):
    """A page with a trained model: `trained.use(images)` answers."""

    folder: Path
    entry: Entry
    system: System[Any, Any, Any, Any]
    knobs: Config
    facts: dict[str, Any]
    model: nn.Module
    config: dict[str, Any]  # config.json

    def use(self, inputs: Sequence[Any], options: Mapping[str, Any] = MappingProxyType({})) -> list[dict[str, Any]]:
        """One answer for each input; the first entry of an answer is the answer. `options`: keywords of the page's
        `use`."""
        with torch.inference_mode():
            return self.system.use(self.model, self.facts, inputs, **options)


def system_of(folder: Path, config: dict[str, Any], page_name: str = "") -> tuple[Entry, System[Any, Any, Any, Any]]:
    """The page that made a run. A folder never names code: a page of the user's own must be named by the user."""
    name = str(config.get("system"))
    if page_name:
        entry = find(page_name)
        if entry.name != name:
            raise UserError(
                f"the page that made {folder}: {name[:60]}", f"the page {entry.name}", "Name the right page"
            )
        return entry, page(entry).system
    try:
        return (entry := find(name if not name.endswith(".py") else "")), page(entry).system
    except UserError:
        do = f"Name its file: --page {name[:60]}.py"
        raise UserError("a run of a page of the catalog", f"a run of {name[:60]!r} in {folder}", do) from None


def order_of(config: dict[str, Any], folder: Path) -> tuple[int, Choice]:
    """Seed, and what the run learns from, as config.json has them. UserError: half-written or edited, or published
    weights, which come without examples."""
    if set(config) == {"system"}:
        got = f"published weights in {folder}"
        raise UserError("a run that knows what it learned from", got, "Name an input of your own, or a run of yours")
    seed, choice = config.get("seed"), as_dict(config, "choice", folder)
    texts = set(choice) <= set(Choice._fields) and all(isinstance(word, str) for word in choice.values())
    if type(seed) is not int or not texts:
        raise UserError(
            f"a whole config.json in {folder}", "no seed, or another choice of data", "Restore the file or train again"
        )
    return seed, Choice(**choice)


def members_of(config: dict[str, Any], folder: Path) -> int:
    """How many nets the run is made of, as config.json has it. UserError: edited."""
    count = config.get("members", 1)
    if type(count) is not int or not 1 <= count <= MOST_MEMBERS:
        got = f"members = {count!r}"[:60]
        raise UserError(
            f"1 to {MOST_MEMBERS} members in config.json of {folder}", got, "Restore the file or train again"
        )
    return count


def open_run(folder: Path, page_name: str = "") -> Trained:
    """Read and check a run folder. UserError: half-written, edited, hostile, or of another page."""
    config = read_json(folder, "config.json")
    entry, system = system_of(folder, config, page_name)
    knobs = changed(system.presets["quick"], as_dict(config, "config", folder), entry.name)
    facts, members = read_json(folder, "facts.json"), members_of(config, folder)
    facts.pop("format")

    def build() -> nn.Module:
        nets = [system.build(knobs, facts) for _ in range(members)]
        return nets[0] if members == 1 else Ensemble(nets)

    path = inside(folder, "weights.safetensors")
    try:
        with torch.device("meta"):  # shapes first, so that hostile facts allocate nothing
            like = build().state_dict()
        weights = read_weights(path, like, entry.name)
        model = build()
    except UserError:
        raise
    except Exception as problem:
        got = f"{type(problem).__name__}: {problem}"[:160]
        raise UserError(
            f"facts.json in {folder} that fit the page {entry.name}", got, "Restore the file or train again"
        ) from None
    status = read_json(folder, "status.json")
    for file in (path, folder / "facts.json"):
        if status.get(f"{file.stem}_sha256") != hashlib.sha256(file.read_bytes()).hexdigest():
            got = f"an edited or half-written {file.name}"
            raise UserError(f"the files that {folder} was saved with", got, "Restore the file or train again")
    model.load_state_dict(weights)
    model.eval()
    return Trained(folder, entry, system, knobs, facts, model, config)


def as_dict(config: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """A part of a JSON file that must be an object. UserError otherwise."""
    part = config.get(name)
    if not isinstance(part, dict):
        raise UserError(
            f"{name!r} in config.json of {folder}", f"{type(part).__name__}", "Restore the file or train again"
        )
    return part


BESIDE = ("config.json", "vocab.json", "merges.txt")
SIZES = {
    "vocab_size": 1 << 20,
    "n_positions": 1 << 20,
    "n_embd": 1 << 16,
    "n_head": 1 << 10,
    "n_layer": 1 << 10,
}  # most
FIXED: dict[str, tuple[Any, ...]] = {  # what else decides the net, and may be; the first where it is not told
    "model_type": ("gpt2",), "activation_function": ("gelu_new", "gelu_pytorch_tanh"), "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,), "tie_word_embeddings": (True,), "add_cross_attention": (False,),
}  # fmt: skip


def open_published(weights: Path) -> Trained:
    """A net as it was published: a GPT-2, or one that tells pictures apart. UserError: another kind of net."""
    return open_gpt2(weights) if published_page(weights) == "gpt" else open_pictured(weights)


def open_gpt2(weights: Path) -> Trained:
    """A GPT-2 as it was published: its weights (safetensors), with config.json, vocab.json and merges.txt beside them.
    It continues texts as the page `gpt` does. UserError: a missing file, another kind of net, wrong shapes."""
    folder = weights.parent
    missing = [path.name for path in (weights, *(folder / name for name in BESIDE)) if not path.is_file()]
    if missing:
        want = f"a GPT-2 in {folder}: {weights.name}, {', '.join(BESIDE)}"
        raise UserError(want, f"no {', '.join(missing)}", "Put all four into one folder; of weights only safetensors "
                        "are read", "gpt")  # fmt: skip
    shape = shape_of(read_object(folder / "config.json"), folder)
    vocabulary, lines = read_object(folder / "vocab.json"), merges_of(folder / "merges.txt")
    try:
        words = BytePairs(vocabulary, lines)
    except (ValueError, TypeError) as problem:
        do = "Take both files from where the weights are from"
        raise UserError(f"vocab.json and merges.txt that fit in {folder}", str(problem), do, "gpt") from None
    if len(words) > shape.tokens:
        got = f"{len(words):,} in vocab.json"
        raise UserError(f"at most {shape.tokens:,} tokens, as config.json in {folder} says", got,
                        "Take both files from where the weights are from", "gpt")  # fmt: skip
    with torch.device("meta"):  # nothing is allocated before the file is known to hold it
        model = GPT2(shape)
    model.load_state_dict(published_weights(weights, model), assign=True)
    entry = find("gpt")
    system = page(entry).system
    facts = {"kind": "text", "level": "gpt2", "length": shape.length, "vocabulary": vocabulary, "merges": lines}
    return Trained(folder, entry, system, system.presets["quick"], facts, model.eval(), {"system": "gpt"})


def shape_of(config: dict[str, Any], folder: Path) -> Shape:
    """The sizes that a published config.json tells. UserError: no GPT-2's, or none that can be."""
    do = "Only GPT-2 and what is built alike can be read"
    for name, values in FIXED.items():
        if (got := config.get(name, values[0])) not in values or type(got) is not type(values[0]):
            raise UserError(f"{name} {values[0]!r} in config.json of {folder}", repr(got)[:60], do, "gpt")
    for name, most in SIZES.items():
        if type(got := config.get(name)) is not int or not 1 <= got <= most:
            raise UserError(f"{name} from 1 to {most:,} in config.json of {folder}", repr(got)[:60], do, "gpt")
    tokens, length, width, heads, layers = (config[name] for name in SIZES)
    inner, epsilon = config.get("n_inner") or 4 * width, config.get("layer_norm_epsilon", EPSILON)
    if width % heads or type(inner) is not int or not 1 <= inner <= 1 << 18 or type(epsilon) is not float:
        got = f"n_embd {width}, n_head {heads}, n_inner {inner!r}, layer_norm_epsilon {epsilon!r}"[:120]
        raise UserError(f"sizes that fit each other in config.json of {folder}", got, do, "gpt")
    return Shape(tokens, length, width, heads, layers, inner, epsilon)


def merges_of(path: Path) -> list[str]:
    """The merges of a published merges.txt, in their order. UserError: no text."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        got = f"{path} ({type(problem).__name__})"
        raise UserError("merges.txt in UTF-8, a merge a line", got, "Download it again", "gpt") from None
    return [line for k, line in enumerate(lines) if line.strip() and not (k == 0 and line.startswith("#version"))]


def published_weights(path: Path, model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights in a file by the model's own names, as float32. UserError: some missing, too many, of other shapes;
    an output layer that is not the tokens' vectors."""
    like, fields = model.state_dict(), {k: v for k, v in header(path).items() if k != "__metadata__"}
    named = {name.removeprefix("transformer."): name for name in fields}
    head = named.pop("lm_head.weight", "")  # the same numbers as wte.weight, if they are there at all
    named = {name: full for name, full in named.items() if not re.fullmatch(r"h\.\d+\.attn\.(masked_)?bias", name)}
    do = "These are other weights than config.json tells of"
    for name in sorted(like.keys() | named.keys()):
        want = list(like[name].shape) if name in like else "none"
        got = fields[named[name]]["shape"] if name in named else "none"
        if want != got:
            raise UserError(f"{name[:60]} of shape {want} in {path}", str(got), do, "gpt")
    tensors = read_weights(path, who="gpt")
    found = {name: tensors[full].float() for name, full in named.items()}
    if head and not torch.equal(tensors[head].float(), found["wte.weight"]):
        raise UserError(f"lm_head.weight equal to wte.weight in {path}", "other numbers", do, "gpt")
    return found


CLASSES = "classes.txt"
DEPTHS: dict[tuple[bool, tuple[int, ...]], int] = {  # whether blocks are narrow, and how many each group has
    (False, (2, 2, 2, 2)): 18, (False, (3, 4, 6, 3)): 34, (True, (3, 4, 6, 3)): 50,
}  # fmt: skip
LEVELS = {  # of ImageNet: what nets under these names were trained with, channel by channel
    "mean": [[[123.675]], [[116.28]], [[103.53]]], "spread": [[[58.395]], [[57.12]], [[57.375]]],
}  # fmt: skip


def open_pictured(weights: Path) -> Trained:
    """A residual net of 18, 34 or 50 layers, or AlexNet's one tower, whose weights (safetensors) have torchvision's
    names, which are also timm's. It sees 224 x 224 pixels in colour, levels as ImageNet's. Its classes are called as
    the lines of classes.txt beside the file say, else numbered. UserError: another net, another count of classes."""
    entry = find(published_page(weights))
    who, system = entry.name, page(entry).system
    fields = {name: field["shape"] for name, field in header(weights).items() if name != "__metadata__"}
    last = "fc.weight" if who == "resnet" else "classifier.6.weight"
    labels = classes_of(weights.with_name(CLASSES), fields.get(last, [0])[0], who)
    facts = {"kind": "pictures", "labels": labels, "counts": [1] * len(labels), "side": 224, "channels": 3,
             "reading": "square", **LEVELS, "data": {"name": "what its weights were published for"}}  # fmt: skip
    if who == "resnet":
        knobs = changed(system.presets["quick"], {"depth": depth_of(fields, weights), "side": 224}, who)
    else:
        knobs = changed(system.presets["single"], {"side": 224, "flip": False, "crops": False}, who)
    with torch.device("meta"):  # shapes first: nothing is allocated before the file is known to hold it
        like = {name: list(tensor.shape) for name, tensor in system.build(knobs, facts).state_dict().items()}
    for name in sorted(like.keys() | fields.keys()):
        want, got = like.get(name, "none"), fields.get(name, "none")
        if want != got and name != "whitened" and not name.endswith("num_batches_tracked"):
            do = "Take weights under torchvision's or timm's names"
            raise UserError(f"{name[:60]} of shape {want} in {weights}", str(got), do, who)
    model = system.build(knobs, facts)
    found = {name: tensor for name, tensor in read_weights(weights, who=who).items() if name in like}
    model.load_state_dict(model.state_dict() | {
        name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()
    })  # fmt: skip
    return Trained(weights, entry, system, knobs, facts, model.eval(), {"system": who})


def depth_of(fields: Mapping[str, list[int]], weights: Path) -> int:
    """How many layers a residual net has, by the names of its blocks. UserError: none that the page builds."""
    blocks = [len({name.split(".")[1] for name in fields if name.startswith(f"layer{k}.")}) for k in range(1, 5)]
    depth = DEPTHS.get(("layer1.0.conv3.weight" in fields, tuple(blocks)))
    if depth is None:
        got = f"blocks {', '.join(map(str, blocks))} in {weights}"
        raise UserError("a residual net of 18, 34 or 50 layers", got, "Take resnet18, resnet34 or resnet50", "resnet")
    return depth


def classes_of(path: Path, count: int, who: str) -> list[str]:
    """What the classes are called: the lines of a file, else their numbers from 0. UserError: more or fewer lines."""
    if not path.is_file():
        return list(map(str, range(count)))
    try:
        labels = [line.strip()[:200] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"a class a line in {path}, in UTF-8", type(problem).__name__, "Save it again", who) from None
    if len(labels) != count:
        do = f"Write one line for each of the {count:,} outputs, in their order, or remove the file"
        raise UserError(f"{count:,} classes in {path}", f"{len(labels):,} lines", do, who)
    return labels
