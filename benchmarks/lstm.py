"""How many sequences a second an LSTM trains on, against packed PyTorch and Keras; and what long series are read with.

    ./go bench lstm [--only packed keras-tensorflow adding ...] [--lengths 20 50 100 200] [--pairs 3] [--seeds 3]

One net of both directions, 128 units each, over 40 channels, the mean of all steps read out for 10 classes; Adam,
batches of 32 of 2,000 sequences made at random, their lengths uniform from half the longest to the longest. In column
`tuned` all have the same batches of like length. Ours is the source `Ragged` with the layer `LSTM` as pages use them:
padded, one call of oneDNN a direction. `packed` is nn.LSTM on a PackedSequence: `documented` with a DataLoader of
shuffled sequences and a collate function that pads, `tuned` with our batches. Keras: `documented` masks an array padded
to the longest and calls fit; `tuned` fits a tf.data of our padded batches, traced once for all lengths. Each rate is
that of the updates after the first ten; ours and each peer are measured in turns, native and held to AVX2.

`adding`, `pixels`, `permuted`: the presets of page `lstm`, with what Bai, Kolter & Koltun (2018) published beside them,
which is of 60,000 pictures where ours are 8,000: no comparison, a scale. They take up to half an hour a seed.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _results import Results, project
from digits import summed, train
from measure import ROOT, Value, ask, instruction_sets, peers_python, ratios, say, spread, table

CHANNELS, WIDTH, CLASSES, BATCH, COUNT, WARM = 40, 128, 10, 32, 2000, 10
PEERS = ("packed", "keras-tensorflow")
COLUMNS = ("documented", "tuned")
TARGETS = {"packed": 4.0, "keras-tensorflow": 1.5}
PAGES = {
    "adding": ["train", "lstm", "--preset", "adding-600"],
    "pixels": ["train", "lstm", "--preset", "pixels"],
    "permuted": ["train", "lstm", "--preset", "permuted"],
}
PUBLISHED = {  # Bai, Kolter & Koltun (2018), arXiv:1803.01271, table 1: of 60,000 pictures; nets of equal size
    "adding": "squared error at 600 steps: LSTM 0.164, GRU 5.3e-5, convolutions 5.8e-5",
    "pixels": "error, %: LSTM 12.8, GRU 3.8, RNN 78.5, convolutions 1.0",
    "permuted": "error, %: LSTM 14.3, GRU 12.7, RNN 74.7, convolutions 2.8",
}


def sequences(longest: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Random sequences "T C" and their classes, the same for all."""
    rng = np.random.default_rng(longest)
    length = rng.integers(longest // 2, longest + 1, COUNT)
    label = rng.integers(0, CLASSES, COUNT)
    return [rng.normal(size=(n, CHANNELS)).astype(np.float32) for n in length], label


class Timed(NamedTuple):
    series: Any
    length: Any
    label: Any


def ragged(longest: int) -> Any:
    """The project's source of them."""
    sys.path.insert(0, str(ROOT))
    import torch

    from milestones.core.source import Place
    from milestones.data.ragged import Flat, Ragged

    series, label = sequences(longest)
    flat = Flat.of([torch.from_numpy(one) for one in series])
    return Ragged(Timed, (flat, torch.from_numpy(label)), Place(torch.device("cpu"), 0), "made", "train")


def timed(update: Callable[[int], None], steps: int) -> Value:
    """Sequences a second over the updates after the first ones."""
    begin = 0.0
    for step in range(WARM + steps):
        if step == WARM:
            begin = time.monotonic()
        update(step)
    return {"rate": BATCH * steps / (time.monotonic() - begin)}


def torch_rate(longest: int, steps: int, packed: bool, tuned: bool) -> Value:
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

    source = ragged(longest)
    from milestones.parts.recurrent import LSTM, inside

    layer = (
        nn.LSTM(CHANNELS, WIDTH, batch_first=True, bidirectional=True) if packed else LSTM(CHANNELS, WIDTH, both=True)
    )
    out = nn.Linear(2 * WIDTH, CLASSES)
    optimizer = torch.optim.Adam([*layer.parameters(), *out.parameters()], 1e-3, fused=tuned or not packed)
    batches: Any = None
    if packed and not tuned:
        series, label = sequences(longest)
        pairs = [(torch.from_numpy(one), int(k)) for one, k in zip(series, label, strict=True)]

        def collate(found: list[tuple[torch.Tensor, int]]) -> Any:
            length = torch.tensor([len(one) for one, _ in found])
            padded = pad_sequence([one for one, _ in found], batch_first=True)
            return padded, length, torch.tensor([k for _, k in found])

        loader = torch.utils.data.DataLoader(pairs, BATCH, shuffle=True, collate_fn=collate, drop_last=True)  # type: ignore[arg-type]
        batches = (batch for _ in range(1000) for batch in loader)

    def update(step: int) -> None:
        x, length, label = next(batches) if batches else source.batch(step, BATCH)
        if packed:
            rows = pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
            said = pad_packed_sequence(layer(rows)[0], batch_first=True)[0]
        else:
            said = layer(x, length)
        here = inside(length, said.shape[1])[..., None]
        loss = F.cross_entropy(out((said * here).sum(1) / length[:, None]), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return timed(update, steps)


def keras_rate(longest: int, steps: int, tuned: bool) -> Value:
    import keras
    import tensorflow as tf
    from keras import layers

    entry = layers.Input((None, CHANNELS))
    x = layers.Masking()(entry)
    x = layers.Bidirectional(layers.LSTM(WIDTH, return_sequences=True))(x)
    net = keras.Model(entry, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))
    net.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    stamps: list[float] = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: stamps.append(time.monotonic()))
    if tuned:
        source = ragged(longest)
        found = [source.batch(step, BATCH) for step in range(WARM + steps)]
        kinds = (tf.TensorSpec((BATCH, None, CHANNELS), tf.float32), tf.TensorSpec((BATCH,), tf.int64))

        def batches() -> Any:
            for batch in found:
                yield batch.series.numpy(), batch.label.numpy()

        flow = tf.data.Dataset.from_generator(batches, output_signature=kinds).prefetch(2)
        net.fit(flow, epochs=1, verbose=0, callbacks=[note])
    else:
        series, label = sequences(longest)
        padded = np.zeros((COUNT, longest, CHANNELS), np.float32)
        for row, one in zip(padded, series, strict=True):
            row[: len(one)] = one
        epochs = -(-(WARM + steps) * BATCH // COUNT)
        net.fit(padded, label, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[note])
    return {"rate": BATCH * steps / (stamps[WARM + steps - 1] - stamps[WARM - 1])}


def answer(question: Value) -> Value:
    """The rate of ours or of one peer; run in a process of its own."""
    longest, steps, tuned = question["longest"], question["steps"], question["column"] == "tuned"
    if question["who"] == "keras-tensorflow":
        return keras_rate(longest, steps, tuned)
    return torch_rate(longest, steps, question["who"] == "packed", tuned)


def throughput(args: Any, results: Results, python: str, who: str) -> list[list[str]]:
    """Ours and one peer in turns; a line a length, column and set of instructions."""
    words = [python, str(Path(__file__).resolve()), "--peer"]
    rows = []
    for sort, env in instruction_sets().items():
        env = {
            **env,
            "KERAS_BACKEND": "tensorflow",
            "PYTHONPATH": os.pathsep.join([str(ROOT)]),
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        for longest in args.lengths:
            for column in COLUMNS:
                mine, other, dirty = [], [], False
                for pair in range(args.pairs):
                    key = f"{sort}/{longest}/{column}/{who}/{pair}"
                    say(key)
                    for side, name in (("ours", "ours"), ("peer", who)):
                        steps = 4 if args.quick else max(20, 4000 // longest)
                        question = {"who": name, "longest": longest, "steps": steps, "column": column}
                        once = functools.partial(ask, words, question, env, 1 if args.quick else 3)
                        part = results.part(f"{key}/{side}", once)
                        (mine if side == "ours" else other).append(part["rate"])
                        dirty = dirty or part["dirty"]
                times, target = ratios(mine, other), TARGETS[who]
                results.write(**{f"{sort}/{longest}/{column}/{who}": {
                    "ours": spread(mine), "peer": spread(other), "times": times, "dirty": dirty}})  # fmt: skip
                word = "reached" if times["min"] >= target else "missed" if times["max"] < target else "not decided"
                word = f"{target:g}: {word}" if longest >= 50 else "none"
                told = f"{times['mean']:.2f} ({times['min']:.2f} to {times['max']:.2f})" + " DIRTY" * dirty
                means = [f"{spread(values)['mean']:.0f}" for values in (mine, other)]
                rows.append([f"{sort}, length {longest}, {who} {column}", *means, told, word])
    return rows


def main() -> int:
    if "--peer" in sys.argv:  # asked by this script itself
        stdout, sys.stdout = sys.stdout, sys.stderr
        found = answer(json.load(sys.stdin))
        sys.stdout = stdout
        print("\n" + json.dumps(found))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[*PEERS, *PAGES], choices=[*PEERS, *PAGES], metavar="NAME",
                        help=", ".join([*PEERS, *PAGES]))  # fmt: skip
    parser.add_argument("--lengths", nargs="*", type=int, default=[20, 50, 100, 200], help="longest sequences, steps")
    parser.add_argument("--pairs", type=int, default=3, help="ours and the peer in turns, so many times")
    parser.add_argument("--seeds", type=int, default=3, help="of the pages")
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    python = peers_python() if "keras-tensorflow" in args.only else sys.executable
    files = [*project("lstm"), Path(__file__)]
    results = Results("lstm", files, python, args.fresh, args.quick, targets=TARGETS, published=PUBLISHED)
    rows = [row for who in PEERS if who in args.only for row in throughput(args, results, python, who)]
    if rows:
        say(table(["sequences a second", "ours", "peer", "ours / peer", "target"], rows))
    pages: Value = {}
    for name, words in PAGES.items():
        if name in args.only:
            seeds = 1 if args.quick else args.seeds
            part = results.part(f"{name}/{seeds}", functools.partial(train, words, seeds, args.quick))
            pages[name] = summed(part)
            results.write(pages=pages)
            for score, about in pages[name]["scores"].items():
                found = about["seeds"]
                say(f"{name} {score}: {found['mean']:.4g} ± {found['sd']:.2g} ({found['n']} seeds), {about['data']}")
            say(f"  published on other data: {PUBLISHED[name]}")
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
