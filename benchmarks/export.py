"""The shipped LeNet in onnxruntime against the same net in PyTorch, and against `use`: images a second, on one thread.

python benchmarks/export.py
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"


def rate(call: Callable[[], object], images: int, seconds: float = 1.0) -> float:
    """Images a second, the median of five turns."""
    call()
    found = []
    for _ in range(5):
        count, begin = 0, time.perf_counter()
        while (spent := time.perf_counter() - begin) < seconds:
            call()
            count += 1
        found.append(count * images / spent)
    return statistics.median(found)


def main() -> None:
    import onnxruntime
    import torch

    from milestones.catalog import load
    from milestones.media import Image
    from milestones.verbs.export import filled
    from milestones.verbs.subject import prepared

    torch.set_num_threads(1)
    trained = load("lenet")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        filled(trained, Path(folder), scripted=True)
        found = {"export_s": round(time.perf_counter() - begin, 1)}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", options)
    image = next(iter(prepared(trained).test.sweep(64)))[0]
    files = [Image(255 - one[0].numpy()) for one in image]
    for size in (1, 64):
        part, feed = image[:size], {"input": image[:size].numpy()}
        with torch.inference_mode():
            found[f"net_{size}"] = round(rate(lambda part=part: trained.model(part), size))
        found[f"onnx_{size}"] = round(rate(lambda feed=feed: session.run(None, feed), size))
        found[f"use_{size}"] = round(rate(lambda size=size: trained.use(files[:size]), size))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
