"""Seconds an epoch of one hidden Chow-Liu tree as one of three learns it; run by circuit.py, one process a measurement.

Standard input is a JSON object: who (ours, spflow, cirkit), folder (of the IDX files), states, batch, batches (timed),
threads. The last line printed is a JSON object: seconds of each batch, of an epoch of 60,000 pictures by the median,
and -log p of the last batch. Each starts from weights of its own: equal likelihood of equal weights is a unit test's.

All get the tree that `milestones` finds in the same 4,000 pictures, categorical leaves of 256 levels, as many states,
float32, and the same batches of pictures in memory.

    ours     a step of expectation maximisation on running counts
    spflow   spflow.zoo.hclt builds a module an edge of the tree; expectation_maximization, one step a batch
    cirkit   the tree as a region graph ("cp" layers), compiled folded and optimised, log-sum-exp; Adam 0.01
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

PICTURES = 60_000


def images(folder: str) -> torch.Tensor:
    path = Path(folder) / "train-images-idx3-ubyte"
    packed = path.with_name(path.name + ".gz")
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784).copy())


def tree(image: torch.Tensor) -> list[int]:
    from milestones.parts.chow_liu import mutual_information, spanning_tree

    return spanning_tree(mutual_information(image[:4000].long() * 3 // 256, [3] * 784))


def ours(ask: dict[str, Any], image: torch.Tensor, parent: list[int]) -> Any:
    from milestones.parts.circuit import Circuit

    circuit = Circuit(parent, [256] * 784, ask["states"])
    circuit.begin(image[:1000].float(), None, torch.Generator().manual_seed(0), levels=True)
    return lambda batch: circuit.learn(batch.float(), None, 0.1)


def spflow(ask: dict[str, Any], image: torch.Tensor, parent: list[int]) -> Any:
    from spflow.learn.expectation_maximization import expectation_maximization
    from spflow.meta import Scope
    from spflow.modules.leaves import Categorical
    from spflow.zoo.hclt.learn import _build_hclt_from_tree

    sys.setrecursionlimit(100_000)  # it recurs an edge after the other

    def leaf(column: int) -> Any:
        return Categorical(scope=Scope([column]), out_channels=ask["states"], K=256)

    edges = [(child, up) for child, up in enumerate(parent) if up >= 0]
    model = _build_hclt_from_tree(num_features=784, edges=edges, num_hidden_cats=ask["states"], emission_factory=leaf,
                                  init="random", device=None, dtype=None)  # fmt: skip
    return lambda batch: -expectation_maximization(model, batch.float(), max_steps=1)[0]


def cirkit(ask: dict[str, Any], image: torch.Tensor, parent: list[int]) -> Any:
    from cirkit.pipeline import PipelineContext
    from cirkit.templates.region_graph.algorithms.utils import tree2rg
    from cirkit.templates.utils import Parameterization, name_to_input_layer_factory, parameterization_to_factory

    weights = parameterization_to_factory(Parameterization(activation="softmax", initialization="normal"))
    symbolic = tree2rg(np.array(parent)).build_circuit(
        input_factory=name_to_input_layer_factory("categorical", num_categories=256), sum_product="cp",
        sum_weight_factory=weights, num_input_units=ask["states"], num_sum_units=ask["states"])  # fmt: skip
    circuit = PipelineContext(backend="torch", semiring="lse-sum", fold=True, optimize=True).compile(symbolic)
    optimizer = torch.optim.Adam(circuit.parameters(), 0.01)

    def step(batch: torch.Tensor) -> torch.Tensor:
        loss = -circuit(batch.long()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def main() -> None:
    ask = json.load(sys.stdin)
    torch.set_num_threads(ask["threads"])
    torch.manual_seed(0)
    image = images(ask["folder"])
    learners = {"ours": ours, "spflow": spflow, "cirkit": cirkit}
    began = time.perf_counter()
    step = learners[ask["who"]](ask, image, tree(image))
    built, seconds, loss = time.perf_counter() - began, [], 0.0
    for number in range(ask["batches"] + 1):  # the first warms up
        batch = image[number * ask["batch"] : (number + 1) * ask["batch"]]
        begin = time.perf_counter()
        loss = float(step(batch))
        seconds.append(time.perf_counter() - begin)
    each = sorted(seconds[1:])
    middle = each[len(each) // 2]
    print("\n" + json.dumps({"who": ask["who"], "built": built, "seconds": seconds[1:], "loss": loss,
                             "epoch": middle * PICTURES / ask["batch"], "torch": torch.__version__}))  # fmt: skip


if __name__ == "__main__":
    main()
