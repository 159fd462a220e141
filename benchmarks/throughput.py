"""How many pictures a second a residual net and AlexNet train on, against Keras and Lightning.

    ./go bench throughput [--only resnet alexnet] [--pairs 2] [--fresh]

Pictures of 32 x 32 in colour (those of cifar10-jpeg.zip, the first 4,000, decoded beforehand), batch 128, mirrored and
shifted. `resnet`'s eight layers at width 64 behind a frozen stem of half the size, 1.2 million weights: ours with Muon
and label smoothing, peers with Adam. `alexnet`'s preset `small` as one tower without response normalisation or colour,
which Keras does not have, all with Adam. Ours is `milestones train` as users type it, with logging and saving.
`documented`: Keras fits uint8 arrays with its preprocessing layers in the model; Lightning takes a DataLoader whose
dataset changes a picture at a time, and the Trainer as it comes. `tuned`: augmented batch by batch, in memory,
channels_last where torch runs it, nothing logged. Each rate is that of the updates after the first ten; each peer is
measured in turns with ours. fastai is not measured: it requires torchvision, which this project does without.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _results import Results, project
from digits import train
from measure import ROOT, Value, ask, peers_python, ratios, say, spread, table
from photos import unpacked

COUNT, BATCH, WARM, STEPS = 4000, 128, 10, 50
PEERS = ("keras-tensorflow", "keras-torch", "lightning")
TARGETS = {"documented": 2.0, "tuned": 1.0}
OURS = {
    "resnet": ["--preset", "photos", "--width", "64", "--average", "0"],
    "alexnet": ["--preset", "small", "--towers", "1", "--normalise", "false", "--tint", "0"],
}


def pictures(path: Path) -> Path:
    """An .npz of the first photographs, evenly over the classes."""
    if not path.exists():
        from PIL import Image as Pillow

        folders = sorted((unpacked() / "train").iterdir())
        files = [file for folder in folders for file in sorted(folder.glob("*.jpg"))[: COUNT // len(folders)]]
        image = np.stack([np.asarray(Pillow.open(file).convert("RGB")) for file in files])
        label = np.repeat(np.arange(len(folders)), COUNT // len(folders))
        order = np.random.default_rng(0).permutation(COUNT)
        np.savez(path, image=image[order], label=label[order])
    return path


def keras_alexnet(x: Any) -> Any:
    from keras import layers

    for width, size, stride, pooled in ((32, 5, 2, 3), (64, 5, 1, 3), (96, 3, 1, 0), (96, 3, 1, 0), (64, 3, 1, 0)):
        x = layers.ReLU()(layers.Conv2D(width, size, stride, "same")(x))
        x = layers.MaxPooling2D(pooled, 2)(x) if pooled else x
    x = layers.Flatten()(layers.AveragePooling2D(2, 1)(x))  # 3 x 3 to 2 x 2
    for _ in range(2):
        x = layers.Dense(320, "relu")(layers.Dropout(0.5)(x))
    return layers.Dense(10)(x)


def keras_resnet(x: Any) -> Any:
    from keras import layers

    def block(x: Any, width: int, stride: int) -> Any:
        y = layers.Conv2D(width, 3, stride, "same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(width, 3, 1, "same", use_bias=False)(y))
        x = layers.BatchNormalization()(layers.Conv2D(width, 1, stride, "same", use_bias=False)(x))
        return layers.ReLU()(layers.add([x, y]))

    stem = layers.Conv2D(54, 3, 2, "same", use_bias=False)
    stem.trainable = False
    x = layers.ReLU()(stem(x))
    for width, stride in ((64, 1), (128, 2), (256, 2)):
        x = block(x, width, stride)
    return layers.Dense(10)(layers.GlobalAveragePooling2D()(x))


def keras_rate(kind: str, image: np.ndarray, label: np.ndarray, tuned: bool) -> float:
    import keras
    from keras import layers

    entry = layers.Input((32, 32, 3))
    change = [layers.RandomFlip("horizontal"), layers.RandomTranslation(0.1, 0.1)]
    x: Any = entry
    if not tuned:
        for layer in change:
            x = layer(x)
    x = layers.Rescaling(1 / 64, -2.0)(x)
    net = keras.Model(entry, keras_resnet(x) if kind == "resnet" else keras_alexnet(x))
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if not tuned:
        stamps: list[float] = []
        note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: stamps.append(time.monotonic()))
        net.fit(image, label, batch_size=BATCH, epochs=2, verbose=0, callbacks=[note])
        return BATCH * STEPS / (stamps[WARM + STEPS - 1] - stamps[WARM - 1])
    rng, begin = np.random.default_rng(0), 0.0
    padded = np.pad(image, ((0, 0), (3, 3), (3, 3), (0, 0)))
    for step in range(WARM + STEPS):
        if step == WARM:
            begin = time.monotonic()
        rows = rng.integers(0, len(image), BATCH)
        y, x0 = rng.integers(0, 7, 2)
        part = padded[rows, y : y + 32, x0 : x0 + 32]
        net.train_on_batch(part[:, :, ::-1] if step % 2 else part, label[rows])
    return BATCH * STEPS / (time.monotonic() - begin)


def torch_net(kind: str) -> Any:
    """Our net without all else, for Lightning."""
    sys.path.insert(0, str(ROOT))
    from milestones.systems import alexnet, resnet

    facts = {"channels": 3, "counts": [1] * 10, "mean": 120.0, "spread": 64.0, "labels": list(range(10))}
    if kind == "resnet":
        return resnet.ResNet(resnet.Knobs(width=64), facts)
    return alexnet.AlexNet(alexnet.PRESETS["small"].model_copy(update={"towers": 1, "normalise": False}), facts)


def lightning_rate(kind: str, image: np.ndarray, label: np.ndarray, tuned: bool) -> float:
    import lightning
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset

    net = torch_net(kind)
    stamps: list[float] = []
    x, y = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(label).long()

    class Photos(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, i: int) -> Any:
            picture = x[i].flip(2) if np.random.random() < 0.5 else x[i]
            top, left = np.random.randint(0, 7, 2)
            return F.pad(picture, (3, 3, 3, 3))[:, top : top + 32, left : left + 32], y[i]

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: Any, index: int) -> Any:
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            if not tuned:
                self.log("train_loss", loss)
            return loss

        def on_train_batch_end(self, *more: Any) -> None:
            stamps.append(time.monotonic())

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], 1e-3)

    class Batches:
        def __len__(self) -> int:
            return WARM + STEPS

        def __iter__(self) -> Any:
            padded = F.pad(x, (3, 3, 3, 3))
            for step in range(len(self)):
                rows = torch.randint(len(x), (BATCH,))
                top, left = torch.randint(7, (2,)).tolist()
                part = padded[rows, :, top : top + 32, left : left + 32]
                part = (part.flip(3) if step % 2 else part).contiguous(memory_format=torch.channels_last)
                yield part, y[rows]

    assert isinstance(net, nn.Module)
    with tempfile.TemporaryDirectory() as folder:
        more: Any = {"max_steps": WARM + STEPS, "default_root_dir": folder, "accelerator": "cpu"}
        if tuned:
            net.to(memory_format=torch.channels_last)
            quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
            lightning.Trainer(**more, **quiet, enable_model_summary=False).fit(Module(), Batches())
        else:
            lightning.Trainer(**more).fit(Module(), DataLoader(Photos(), batch_size=BATCH, shuffle=True))
    return BATCH * STEPS / (stamps[WARM + STEPS - 1] - stamps[WARM - 1])


def peer(question: Value) -> Value:
    """The rate of one peer; run in a process of its own."""
    who, tuned = question["who"], question["column"] == "tuned"
    with np.load(question["path"]) as found:
        image, label = found["image"], found["label"]
    if who == "lightning":
        return {"rate": lightning_rate(question["net"], image, label, tuned)}
    return {"rate": keras_rate(question["net"], image, label, tuned)}


def named(net: str, column: str, who: str) -> str:
    """The name of a comparison in the results."""
    return f"{column}/{who}" if net == "resnet" else f"{net}, {column}/{who}"


def main() -> int:
    if "--peer" in sys.argv:  # asked by this script itself
        stdout, sys.stdout = sys.stdout, sys.stderr
        answer = peer(json.load(sys.stdin))
        sys.stdout = stdout
        print("\n" + json.dumps(answer))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(OURS), choices=OURS, metavar="NET", help=", ".join(OURS))
    parser.add_argument("--pairs", type=int, default=2, help="ours and the peer in turns, so many times")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    python = peers_python()
    path = pictures(Path(tempfile.gettempdir(), "milestones-throughput.npz"))
    files = [*project("resnet", "alexnet"), Path(__file__)]
    results = Results("throughput", files, python, args.fresh, targets=TARGETS)
    words = [python, str(Path(__file__).resolve()), "--peer"]
    each = [(net, column, who) for net in OURS for column in TARGETS for who in PEERS]
    for net, column, who in each:
        ours = ["train", net, *OURS[net], "--data", str(path), "--steps", str(WARM + STEPS)]
        env = {"KERAS_BACKEND": who.partition("-")[2] or "torch", "PYTHONPATH": os.pathsep.join([str(ROOT)])}
        question = {"net": net, "who": who, "column": column, "path": str(path)}
        for pair in range(args.pairs if net in args.only else 0):
            say(f"{net}, {column} {who}, pair {pair + 1}")
            results.part(f"{named(net, column, who)}/{pair}/ours", functools.partial(train, ours, 1, False))
            results.part(f"{named(net, column, who)}/{pair}/peer", functools.partial(ask, words, question, env))
    summary, rows, parts = {}, [], results.content["parts"]
    for net, column, who in each:
        target = TARGETS[column]
        whole = f"{named(net, column, who)}/"
        keys = [key.removesuffix("/peer") for key in parts if key.startswith(whole) and key.endswith("/peer")]
        if not keys:
            continue
        mine = [float(parts[f"{key}/ours"]["runs"][0]["rate"]) for key in keys]
        other = [parts[f"{key}/peer"]["rate"] for key in keys]
        times = ratios(mine, other)
        dirty = any(parts[f"{key}/{side}"]["dirty"] for key in keys for side in ("ours", "peer"))
        summary[named(net, column, who)] = {"ours": spread(mine), "peer": spread(other), "times": times, "dirty": dirty}
        word = "reached" if times["min"] >= target else "missed" if times["max"] < target else "not decided"
        means = [f"{spread(values)['mean']:.0f}" for values in (mine, other)]
        told = f"{times['mean']:.2f} ({times['min']:.2f} to {times['max']:.2f})"
        rows.append([f"{net}, {column} {who}", *means, told, f"{target:g}: {word}"])
    results.write(peers=summary)
    say(table(["pictures a second", "ours", "peer", "ours / peer", "target"], rows))
    say(f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
