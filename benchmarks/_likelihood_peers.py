"""A VAE and a MADE written anew from their papers' recipes, in plain PyTorch and none of the project's code, for a
time.

A question on standard input, as JSON: peer ("vae", "made"), file (.npz: train and valid, levels "N 784"; test, bits "N
784"), seconds, seed, samples, tuned (true: Adam with a cosine at the page's rate, for the paper's optimiser). The
answer, in the last line: nll (nats a test picture), updates, seconds, note.

VAE (Kingma & Welling 2014, appendix C): one hidden layer of 500 tanh units on either side, 20 causes, weights from N(0,
0.01), minibatches of 100, one sample, Adagrad of rate 0.02 with a weight decay for the weights' prior. MADE (Germain et
al. 2015, section 6.2): one hidden layer of 500 rectified units, one mask, natural order, direct connections,
minibatches of 100, Adagrad of rate 0.05. Of both the weights of the best validation pass are scored.
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PIXELS, HIDDEN, CAUSES, BATCH = 784, 500, 20, 100


class PaperVAE(nn.Module):
    note = "a VAE written from Kingma & Welling (2014), appendix C: Adagrad, 500 tanh units, 20 causes"
    rate, decay, tuned = 0.02, 1e-5, 1e-3

    def __init__(self) -> None:
        super().__init__()
        self.into, self.mean, self.spread = (
            nn.Linear(PIXELS, HIDDEN),
            nn.Linear(HIDDEN, CAUSES),
            nn.Linear(HIDDEN, CAUSES),
        )
        self.back, self.pixel = nn.Linear(CAUSES, HIDDEN), nn.Linear(HIDDEN, PIXELS)
        for layer in (self.into, self.mean, self.spread, self.back, self.pixel):
            nn.init.normal_(layer.weight, std=0.1)  # variance 0.01
            nn.init.zeros_(layer.bias)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.into(x))
        return self.mean(h), self.spread(h).clamp(-20, 20)

    def decoded(self, z: Tensor) -> Tensor:
        return self.pixel(torch.tanh(self.back(z)))

    def cost(self, x: Tensor) -> Tensor:
        mean, log_var = self.parts(x)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        rebuilt = F.binary_cross_entropy_with_logits(self.decoded(z), x, reduction="sum")
        return (rebuilt - 0.5 * torch.sum(1 + log_var - mean**2 - log_var.exp())) / len(x)

    def nats(self, x: Tensor, samples: int) -> Tensor:
        mean, log_var = self.parts(x)
        found = []
        for _ in range(samples):
            noise = torch.randn_like(mean)
            z = mean + torch.exp(log_var / 2) * noise
            said = self.decoded(z)
            ahead = -F.binary_cross_entropy_with_logits(said, x, reduction="none").sum(1)
            found.append(ahead - 0.5 * (z**2).sum(1) + 0.5 * (noise**2 + log_var).sum(1))
        return math.log(samples) - torch.logsumexp(torch.stack(found), 0)


class PaperMADE(nn.Module):
    note = "a MADE written from Germain et al. (2015), section 6.2: Adagrad, 500 rectified units, one mask"
    rate, decay, tuned = 0.05, 0.0, 5e-3

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.empty(HIDDEN, PIXELS)), nn.Parameter(torch.zeros(HIDDEN))
        self.v, self.c = nn.Parameter(torch.empty(PIXELS, HIDDEN)), nn.Parameter(torch.zeros(PIXELS))
        self.a = nn.Parameter(torch.zeros(PIXELS, PIXELS))
        for weight in (self.w, self.v):
            nn.init.orthogonal_(weight)
        m = torch.randint(1, PIXELS, (HIDDEN,))
        place = torch.arange(1, PIXELS + 1)
        self.register_buffer("mw", (m[:, None] >= place).float())
        self.register_buffer("mv", (place[:, None] > m).float())
        self.register_buffer("ma", torch.tril(torch.ones(PIXELS, PIXELS), -1))

    def nats(self, x: Tensor, samples: int = 0) -> Tensor:
        h = torch.relu(F.linear(x, self.w * self.mw, self.b))
        said = F.linear(h, self.v * self.mv, self.c) + F.linear(x, self.a * self.ma)
        return F.binary_cross_entropy_with_logits(said, x, reduction="none").sum(1)

    def cost(self, x: Tensor) -> Tensor:
        return self.nats(x).mean()


def learned(net: Any, train: Tensor, valid: Tensor, seconds: float, tuned: bool) -> tuple[Any, int, float]:
    """The net of the best validation pass within the time; updates made; seconds."""
    optimizer = (torch.optim.Adam(net.parameters(), net.tuned) if tuned else
                 torch.optim.Adagrad(net.parameters(), net.rate, weight_decay=net.decay))  # fmt: skip
    best, kept, updates, begin = math.inf, copy.deepcopy(net), 0, time.monotonic()
    fixed = (torch.rand(valid.shape) < valid).float()
    while time.monotonic() - begin < seconds:
        for rows in torch.randperm(len(train)).split(BATCH):
            level = train[rows]
            if tuned:
                share = min(1.0, (time.monotonic() - begin) / seconds)
                optimizer.param_groups[0]["lr"] = net.tuned * (0.5 + 0.5 * math.cos(math.pi * share))
            loss = net.cost((torch.rand(level.shape) < level).float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            if time.monotonic() - begin >= seconds:
                break
        with torch.no_grad():
            now = float(net.cost(fixed))
        if now < best:
            best, kept = now, copy.deepcopy(net)
    return kept, updates, time.monotonic() - begin


def main() -> None:
    ask = json.loads(sys.stdin.read())
    torch.manual_seed(ask["seed"])
    with np.load(ask["file"]) as file:
        train, valid, test = (torch.from_numpy(file[name]).float() for name in ("train", "valid", "test"))
    net, updates, seconds = learned({"vae": PaperVAE, "made": PaperMADE}[ask["peer"]](), train / 255, valid / 255,
                                    ask["seconds"], ask["tuned"])  # fmt: skip
    with torch.no_grad():
        nats = torch.cat([net.nats(part, ask["samples"]) for part in test.split(500)])
    print(json.dumps({"nll": float(nats.mean()), "sd": float(nats.std()), "over": len(nats), "updates": updates,
                      "training": round(seconds, 1), "note": net.note}))  # fmt: skip


if __name__ == "__main__":
    main()
