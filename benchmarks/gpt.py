"""The language model on tinyshakespeare: beside nanoGPT's CPU recipe in the same wall time, in 3 and in 30 minutes; and
how fast it says what comes next.

    ./go bench gpt [--seeds 3] [--only NAME ...] [--quick] [--fresh]

nanoGPT is on no registry: its published recipe for CPUs (config/train_shakespeare_char.py and the flags of its README:
4 layers, 4 heads, 128 wide, context 64, batch 12, 2,000 updates, no dropout, no biases, AdamW, betas 0.9 and 0.99,
weight decay 0.1, 100 updates of warm-up to 1e-3, a cosine to 1e-4) is written here in plain PyTorch, with its
attention (scaled_dot_product_attention), initialisation and tied output layer; its time is that of its updates alone.
Both learn from the first 90 % of the text and are scored on the last 5 %, each in windows of its own context, one after
the other: nanoGPT's split, its validation part halved into validation and test. It only reports: no threshold.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import ROOT, Value, ask, say, spread

DATA = ["--data", "tinyshakespeare"]
PARTS = {
    "shakespeare": ["train", "gpt", "--preset", "shakespeare", *DATA],
    "long": ["train", "gpt", "--preset", "long", *DATA],
    "verses": ["train", "gpt"],
}
NAMES = ["nanogpt", "generate", *PARTS]
LENGTH, WIDTH, HEADS, LAYERS, BATCH, STEPS = 64, 128, 4, 4, 12, 2000
PUBLISHED = {"nanogpt CPU recipe": 1.88, "nanogpt, 3 minutes on an A100": 1.4697}  # validation, nanoGPT's README
LEAST, THREE, THIRTY, SPEED = 0.25, 1.55, 1.46, 1000.0  # nats below nanoGPT's; nats; nats; characters a second


def nanogpt(tokens: int) -> Any:
    """nanoGPT's net, written anew."""
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
            self.look, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
            self.inner, self.outer = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

        def forward(self, x: Any) -> Any:
            sides = self.look(self.one(x)).chunk(3, -1)
            heads = (side.unflatten(-1, (HEADS, -1)).transpose(1, 2) for side in sides)
            seen = F.scaled_dot_product_attention(*heads, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).flatten(2))
            return x + self.outer(F.gelu(self.inner(self.two(x))))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.place = nn.Embedding(tokens, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            self.last = nn.LayerNorm(WIDTH, bias=False)
            for name, weight in self.named_parameters():
                if weight.dim() == 2:
                    last = name.endswith(("out.weight", "outer.weight"))
                    nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if last else 0.02)

        def forward(self, token: Any) -> Any:
            x = self.embed(token) + self.place.weight[: token.shape[1]]
            for block in self.blocks:
                x = block(x)
            return F.linear(self.last(x), self.embed.weight)

    return Net()


def of_nanogpt(seed: int, steps: int) -> Value:
    """Its recipe trained and scored: seconds of its updates, and nats a character of the test part."""
    import torch
    from torch.nn import functional as F

    from milestones.core.source import Choice, Place
    from milestones.data.continued import nats
    from milestones.data.text import text

    data = text(Place(torch.device("cpu"), seed, choice=Choice("tinyshakespeare")), length=LENGTH)
    torch.manual_seed(seed)
    model = nanogpt(len(data.facts["characters"]))
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    others = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, 1e-3, betas=(0.9, 0.99))
    kept = torch.from_numpy(data.train.tokens.astype("int64"))  # type: ignore[attr-defined]
    begin = time.monotonic()
    for step in range(steps):
        rate = 1e-3 * (step + 1) / 101 if step < 100 else (
            1e-4 + 0.5 * (1 + math.cos(math.pi * (step - 100) / (STEPS - 100))) * 9e-4)  # fmt: skip
        for group in optimizer.param_groups:
            group["lr"] = rate
        first = torch.randint(len(kept) - LENGTH, (BATCH,))
        token = torch.stack([kept[k : k + LENGTH] for k in first.tolist()])
        goal = torch.stack([kept[k + 1 : k + 1 + LENGTH] for k in first.tolist()])
        loss = F.cross_entropy(model(token).flatten(0, 1), goal.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.monotonic() - begin
    found = {name: float(nats(model, part).mean()) for name, part in (("valid", data.valid), ("test", data.test))}
    weights = sum(weight.numel() for weight in model.parameters())
    return {"seconds": seconds, "rate": steps * BATCH * LENGTH / seconds, "parameters": weights, **found}


def of_generation(count: int) -> Value:
    """Characters a second at nanoGPT's CPU size, one text, from a prompt of one: with the cache and without. Fresh
    weights: what they are changes no time."""
    import torch

    from milestones.parts.sampling import array, drawn, filtered, sampled
    from milestones.systems.gpt import GPT

    torch.manual_seed(0)
    model, rng = GPT(65, LENGTH, WIDTH, HEADS, LAYERS, 8192, 0.0).eval(), torch.Generator().manual_seed(0)
    prompt, rates = torch.zeros(1, dtype=torch.long), []
    for _ in range(4):  # the first warms up
        begin = time.monotonic()
        said = len(list(sampled(model, prompt, count, 0.8, 0, 1.0, rng, LENGTH)))
        rates.append(said / (time.monotonic() - begin))
    held = [0]
    with torch.inference_mode():
        begin = time.monotonic()
        for _ in range(count):
            logits = array(model(torch.tensor([held[-LENGTH:]]))[0, -1])
            held.append(drawn(filtered(logits, 0.8, 0, 1.0), rng))
        plain = count / (time.monotonic() - begin)
    return {"rate": statistics.median(rates[1:]), "rates": rates[1:], "uncached": plain}


def main() -> int:
    if "--peer" in sys.argv:  # asked by this script itself
        asked: Any = json.load(sys.stdin)
        found = of_generation(asked["count"]) if "count" in asked else of_nanogpt(asked["seed"], asked["steps"])
        print("\n" + json.dumps(found))
        return 0
    args = parser(__doc__, NAMES).parse_args()
    files = [*project("gpt"), Path(__file__)]
    results = Results("gpt", files, sys.executable, args.fresh, args.quick, published=PUBLISHED)
    words, env = [sys.executable, str(Path(__file__).resolve()), "--peer"], {"PYTHONPATH": str(ROOT)}
    if "generate" in args.only:
        question = {"count": 60 if args.quick else 2000}
        part = results.part("generate", functools.partial(ask, words, question, env))
        results.write(generate=part)
        say(target("generation with cache", part["rate"], SPEED, unit="characters/s"))
        say(f"  without: {part['uncached']:.0f} characters/s")
    seeds = range(1 if args.quick else args.seeds)
    peers: list[Value] = []
    for seed in seeds:
        question = {"seed": seed, "steps": 5 if args.quick else STEPS}
        if "nanogpt" in args.only:
            say(f"nanogpt's recipe, seed {seed}")
            results.part(f"nanogpt/{seed}", functools.partial(ask, words, question, env))
        if kept := results.kept(f"nanogpt/{seed}"):
            peers.append(kept)
    summary = measured(results, PARTS, args, {"long": 1})
    say(scores(summary))
    if peers:
        peer = {name: spread([one[name] for one in peers]) for name in ("seconds", "test", "valid", "rate")}
        results.write(nanogpt=peer)
        say(f"nanogpt's recipe: test {peer['test']['mean']:.3f}, valid {peer['valid']['mean']:.3f} nats, "
            f"{peer['seconds']['mean']:.0f} s, {peer['rate']['mean']:,.0f} tokens/s")  # fmt: skip
    if peers and "shakespeare" in summary:
        ours = summary["shakespeare"]
        steps = max(1, int(ours["steps"] * peer["seconds"]["mean"] / ours["seconds"]["mean"]))
        name = "equal time"
        more = measured(results, {name: [*PARTS["shakespeare"], "--steps", str(steps)]},
                        args.__class__(**{**vars(args), "only": [name]}))  # fmt: skip
        say(scores(more))
        less = peer["test"]["mean"] - more[name]["scores"]["loss"]["seeds"]["mean"]
        results.write(equal_time={**more[name], "below_nanogpt": less}, pages={**summary, **more})
        say(target("below nanogpt in its own time", less, LEAST, unit="nats"))
    for name, most, seconds in (("shakespeare", THREE, 180.0), ("long", THIRTY, 1800.0)):
        if name in summary:
            say(target(f"{name}, test", summary[name]["scores"]["loss"]["seeds"]["mean"], most, False, "nats"))
            say(target(f"{name}, training", summary[name]["seconds"]["max"], seconds, False, "s"))
            first = next(part for key, part in results.content["parts"].items() if key.startswith(f"{name}/"))["runs"]
            speed, share = first[0]["rate"] * LENGTH, first[0]["peak_share"]
            results.write(**{f"{name} speed": {"tokens_per_second": speed, "peak_share": share}})
            say(f"  {speed:,.0f} tokens/s, {share:.0f} % of the machine's peak")
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
