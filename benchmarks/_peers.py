"""LeNet-5 on Fashion-MNIST as one of the peers trains it, or as we do; run by lenet.py, one process a training.

Standard input is a JSON object: who (ours, keras-tensorflow, keras-torch, lightning, skorch, pytorch), column
(documented or tuned), seed, folder (of the IDX files), target (percent), cap (seconds), epochs (0: until the target or
the cap), most (training pictures, for a smoke run) and settings (ours: steps, batch, lr, layout, precision, threads).
The last line printed is a JSON object.

The clock starts when the libraries are imported and the decoded uint8 pictures lie in memory (as tensors or floats for
the tuned ones), and is read after each evaluation. `documented` is what each project's own introduction does:

    keras       keras.io/examples/vision/mnist_convnet: batch 128, "adam", fit(validation_data)
    lightning   its introduction's MNIST classifier: DataLoader with batch 64, Adam 1e-3, Trainer as it comes
    skorch      its MNIST notebook's convolutional net: NeuralNetClassifier, batch 128 (default), Adam 2e-3, softmax
    pytorch     pytorch/examples/mnist: DataLoader with batch 64, Adadelta 1.0, StepLR 0.7 an epoch

with floats in memory where those decode a picture at a time, and with as many epochs as the target takes. `tuned` gets
our batch, Adam, rate and cosine for each step, initialisation, normalised pictures in memory, layout, precision and
threads, nothing logged or saved; the torch peers index batches out of one tensor where their interface allows it.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HELD_OUT = 5000  # the last training pictures are the validation set
PARAMETERS = 61_706


def idx(folder: str, name: str) -> np.ndarray:
    path = Path(folder) / name
    packed = path.with_name(name + ".gz")
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy()


class Pictures:
    """The three parts, uint8 "N 28 28", and labels, int64."""

    def __init__(self, folder: str, most: int | None = None) -> None:
        image, label = idx(folder, "train-images-idx3-ubyte"), idx(folder, "train-labels-idx1-ubyte").astype(np.int64)
        self.train = image[:-HELD_OUT][:most], label[:-HELD_OUT][:most]
        self.valid = image[-HELD_OUT:], label[-HELD_OUT:]
        self.test = idx(folder, "t10k-images-idx3-ubyte"), idx(folder, "t10k-labels-idx1-ubyte").astype(np.int64)
        self.mean, self.spread = float(self.train[0].mean()), float(self.train[0].std())

    def normal(self, image: np.ndarray) -> np.ndarray:
        return (image.astype(np.float32) - self.mean) / self.spread


class Watch:
    """When the validation error was what, in seconds since `start`."""

    def __init__(self, ask: dict[str, Any]) -> None:
        self.target, self.cap, self.epochs = ask["target"], ask["cap"], ask["epochs"]
        self.curve: list[tuple[float, float]] = []

    def start(self) -> None:
        self.began = time.monotonic()

    def over(self, error: float) -> bool:
        """Note an evaluation. True when the training shall end."""
        seconds = time.monotonic() - self.began
        self.curve.append((round(seconds, 3), round(float(error), 4)))
        if self.epochs:
            return len(self.curve) >= self.epochs
        return error <= self.target + 1e-4 or seconds >= self.cap

    def answer(self, test_error: float, **more: Any) -> dict[str, Any]:
        reached = next((s for s, error in self.curve if error <= self.target + 1e-4), None)
        cold = None if reached is None else round(self.began + reached - float(os.environ["BENCHMARK_BEGAN"]), 3)
        return {"reached": reached, "cold": cold, "curve": self.curve, "test_error": round(test_error, 4), **more}


def lenet_torch(softmax: bool = False, tuned: bool = False) -> Any:
    """`tuned` starts from the page's weights (Glorot's, which are Keras's own), else from PyTorch's."""
    from torch import nn

    layers = [
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    ]
    net = nn.Sequential(*layers, *([nn.Softmax(-1)] if softmax else []))
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS
    for layer in net if tuned else ():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def cosine(total: int) -> Any:
    return lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step, total) / total)


def tensors(image: np.ndarray, label: np.ndarray, layout: str = "") -> tuple[Any, Any]:
    import torch

    pictures = torch.from_numpy(np.ascontiguousarray(image, np.float32))[:, None]
    if layout == "channels_last":
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    return pictures, torch.from_numpy(label)


class Batches:
    """Batches indexed out of tensors: what a DataLoader would do a picture at a time."""

    def __init__(self, image: Any, label: Any, size: int, shuffled: bool = True) -> None:
        self.image, self.label, self.size, self.shuffled = image, label, size, shuffled

    def __len__(self) -> int:
        return -(-len(self.image) // self.size)

    def __iter__(self) -> Any:
        import torch

        order = torch.randperm(len(self.image)) if self.shuffled else torch.arange(len(self.image))
        for begin in range(0, len(order), self.size):
            index = order[begin : begin + self.size]
            yield self.image[index], self.label[index]


def torch_error(net: Any, image: Any, label: Any, size: int = 1000) -> float:
    import torch

    net.eval()
    with torch.no_grad():
        wrong = sum(
            int((net(image[i : i + size]).argmax(-1) != label[i : i + size]).sum()) for i in range(0, len(image), size)
        )
    net.train()
    return 100 * wrong / len(image)


def autocast(settings: dict[str, Any]) -> Any:
    import torch

    return torch.autocast("cpu", torch.bfloat16) if settings["precision"] == "bfloat16" else contextlib.nullcontext()


def laid(net: Any, settings: dict[str, Any]) -> Any:
    """The net in our layout, PyTorch with our number of threads."""
    import torch

    torch.set_num_threads(settings["threads"])
    return net.to(memory_format=torch.channels_last) if settings["layout"] == "channels_last" else net


# ours


def settings_of(ask: dict[str, Any]) -> dict[str, Any]:
    """What the page does with Fashion-MNIST, and this machine's plan for it: what the tuned peers get."""
    from milestones.systems.lenet import system

    preset = "fashion" if "fashion" in system.presets else "quick"
    knobs = system.presets[preset]
    if preset == "quick":
        knobs = knobs.model_copy(
            update={**ask["fallback"], **dict.fromkeys(("shift", "rotate", "scale", "slant", "elastic"), 0.0)}
        )
    if any((knobs.shift, knobs.rotate, knobs.scale, knobs.slant, knobs.elastic, knobs.average)):
        sys.exit("expected a preset without distortions and mean weights, which the tuned peers are not given")
    import torch

    from milestones.core import plan as plans
    from milestones.data import Labelled

    model = system.build(knobs, {"labels": list("0123456789"), "mean": 73.0, "spread": 90.0})
    image = torch.randint(0, 256, (knobs.batch, 1, 28, 28), dtype=torch.uint8)
    batch = Labelled(image, torch.arange(knobs.batch) % 10)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        found = plans.measure(
            model, lambda twin, plan: system.loss(twin, plan.lay(batch))["loss"], knobs.batch, None, torch.device("cpu")
        )
    ours = {"preset": preset, **knobs.model_dump()}
    if ask.get("steps"):
        ours["steps"] = ask["steps"]
    return {**ours, "layout": found.layout, "precision": found.precision, "threads": found.threads, "plan": found.words}


def ours(ask: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """The page by the public loop: plan measured, log and state written, report made, all as a user gets it."""
    import dataclasses

    from milestones.catalog import find, page
    from milestones.verbs import execute

    settings = ask["settings"]
    module = page(find("lenet"))
    prepare = module.system.prepare

    def timed(knobs: Any, place: Any) -> Any:
        data = prepare(knobs, place)
        watch.start()
        return data

    first: list[float] = []

    def seen(now: Any) -> None:
        first[:] = first or [time.monotonic() - now.seconds]  # when the first step began

    module.system = dataclasses.replace(module.system, prepare=timed)
    names = set(module.system.presets["quick"].model_dump())
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            XDG_CACHE_HOME=folder, MILESTONES_DATA=str(Path(ask["folder"]).parent)
        )  # no plan is remembered
        order = execute.Order(preset=settings["preset"], seed=ask["seed"], data="fashion")
        done = execute.begin("lenet", {k: v for k, v in settings.items() if k in names}, order, folder, watch=seen)
        lines = [json.loads(line) for line in (done.folder / "log.jsonl").read_text().splitlines()]
    before = first[0] - watch.began
    watch.curve = [
        (round(before + line["seconds"], 3), round(line["valid_error"], 4)) for line in lines if "valid_error" in line
    ]
    report = done.report
    return watch.answer(
        report["scores"]["error"]["value"],
        before_steps=round(before, 3),
        plan=report["plan"],
        rate=report["rate"],
        parameters=report["parameters"],
        train_seconds=report["seconds"],
    )


# peers


def keras_on(backend: str, ask: dict[str, Any], pictures: Pictures, watch: Watch) -> dict[str, Any]:
    os.environ.update(KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="2")
    import keras
    from keras import layers

    tuned, settings = ask["column"] == "tuned", ask["settings"]
    keras.utils.set_random_seed(ask["seed"])
    if tuned and settings["precision"] == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    if tuned and backend == "torch":
        import torch

        torch.set_num_threads(settings["threads"])

    change = pictures.normal if tuned else lambda image: image.astype("float32") / 255
    if tuned:
        parts = {
            name: (change(getattr(pictures, name)[0])[..., None], getattr(pictures, name)[1])
            for name in ("train", "valid")
        }
    batch = settings["batch"] if tuned else 128
    each = -(-len(pictures.train[0]) // batch)
    watch.start()
    if not tuned:
        parts = {
            name: (change(getattr(pictures, name)[0])[..., None], getattr(pictures, name)[1])
            for name in ("train", "valid")
        }
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation=None if tuned else "softmax", dtype="float32"),
        ]
    )
    assert model.count_params() == PARAMETERS
    if tuned:
        rate = keras.optimizers.schedules.CosineDecay(settings["lr"], watch.epochs * each)
        model.compile(
            optimizer=keras.optimizers.Adam(rate, epsilon=1e-8),
            metrics=["accuracy"],
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=10 if backend == "tensorflow" else 1,
        )
    else:
        model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

    class Ended(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = watch.over(100 - 100 * logs["val_accuracy"])

    model.fit(
        *parts["train"],
        batch_size=batch,
        epochs=watch.epochs or 1000,
        validation_data=parts["valid"],
        callbacks=[Ended()],
        verbose=0 if tuned else "auto",
    )
    score = model.evaluate(change(pictures.test[0])[..., None], pictures.test[1], verbose=0)
    return watch.answer(100 - 100 * score[1])


def lightning(ask: dict[str, Any], pictures: Pictures, watch: Watch) -> dict[str, Any]:
    import torch
    from lightning import pytorch as pl
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    tuned, settings = ask["column"] == "tuned", ask["settings"]
    pl.seed_everything(ask["seed"], verbose=False)
    total = watch.epochs * -(-len(pictures.train[0]) // settings["batch"])

    class Classifier(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = laid(lenet_torch(tuned=True), settings) if tuned else lenet_torch()

        def training_step(self, batch: Any, number: int) -> Any:
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            if not tuned:
                self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, number: int) -> None:
            error = 100 * (self.net(batch[0]).argmax(-1) != batch[1]).float().mean()
            self.log("valid_error", error, prog_bar=not tuned, batch_size=len(batch[1]))

        def configure_optimizers(self) -> Any:
            if not tuned:
                return torch.optim.Adam(self.parameters(), lr=1e-3)
            optimizer = torch.optim.Adam(self.parameters(), settings["lr"], fused=True)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(total))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    class Ended(pl.Callback):
        def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
            if not trainer.sanity_checking and watch.over(float(trainer.callback_metrics["valid_error"])):
                trainer.should_stop = True

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "precision": "bf16-mixed" if settings["precision"] == "bfloat16" else "32-true",
    }
    if tuned:
        train = Batches(
            *tensors(pictures.normal(pictures.train[0]), pictures.train[1], settings["layout"]), settings["batch"]
        )
        valid = Batches(
            *tensors(pictures.normal(pictures.valid[0]), pictures.valid[1], settings["layout"]), 1000, shuffled=False
        )
    watch.start()
    if not tuned:
        train = DataLoader(
            TensorDataset(*tensors(pictures.train[0].astype(np.float32) / 255, pictures.train[1])), 64, shuffle=True
        )
        valid = DataLoader(TensorDataset(*tensors(pictures.valid[0].astype(np.float32) / 255, pictures.valid[1])), 64)
    module = Classifier()
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=watch.epochs or 1000,
            accelerator="cpu",
            default_root_dir=folder,
            callbacks=[Ended()],
            **(quiet if tuned else {}),
        )
        trainer.fit(module, train, valid)
    change = pictures.normal if tuned else lambda image: image.astype(np.float32) / 255
    return watch.answer(torch_error(module.net, *tensors(change(pictures.test[0]), pictures.test[1])))


def skorch(ask: dict[str, Any], pictures: Pictures, watch: Watch) -> dict[str, Any]:
    import torch
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback, LRScheduler
    from skorch.helper import predefined_split
    from torch.utils.data import TensorDataset

    tuned, settings = ask["column"] == "tuned", ask["settings"]
    torch.manual_seed(ask["seed"])
    change = pictures.normal if tuned else lambda image: image.astype(np.float32) / 255
    layout = settings["layout"] if tuned else ""

    class Ended(Callback):
        def on_epoch_end(self, net: Any, **more: Any) -> None:
            if watch.over(100 - 100 * net.history[-1, "valid_acc"]):
                raise KeyboardInterrupt  # which skorch takes as the end of its training

    class Fast(Batches):
        def __init__(self, dataset: Any, batch_size: int, **more: Any) -> None:
            super().__init__(*dataset.tensors, batch_size)

    class Cast(NeuralNetClassifier):
        def infer(self, x: Any, **more: Any) -> Any:
            with autocast(settings):
                return super().infer(x, **more)

    if tuned:
        total = watch.epochs * -(-len(pictures.train[0]) // settings["batch"])
        train = TensorDataset(*tensors(change(pictures.train[0]), pictures.train[1], layout))
        valid = TensorDataset(*tensors(change(pictures.valid[0]), pictures.valid[1], layout))
    watch.start()
    if tuned:
        schedule = LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=cosine(total), step_every="batch")
        net = Cast(
            laid(lenet_torch(tuned=True), settings),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=settings["lr"],
            optimizer__fused=True,
            max_epochs=watch.epochs,
            batch_size=settings["batch"],
            iterator_train=Fast,
            iterator_valid__batch_size=1000,
            train_split=predefined_split(valid),
            classes=list(range(10)),
            callbacks=[schedule, Ended()],
            verbose=0,
        )
    else:
        train = TensorDataset(*tensors(change(pictures.train[0]), pictures.train[1]))
        valid = TensorDataset(*tensors(change(pictures.valid[0]), pictures.valid[1]))
        net = NeuralNetClassifier(
            lenet_torch(softmax=True),
            optimizer=torch.optim.Adam,
            lr=0.002,
            max_epochs=1000,
            iterator_train__shuffle=True,
            train_split=predefined_split(valid),
            classes=list(range(10)),
            callbacks=[Ended()],
        )
        net.set_params(max_epochs=watch.epochs or 1000)
    net.fit(train, None)
    return watch.answer(torch_error(net.module_, *tensors(change(pictures.test[0]), pictures.test[1])))


def pytorch(ask: dict[str, Any], pictures: Pictures, watch: Watch) -> dict[str, Any]:
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    tuned, settings = ask["column"] == "tuned", ask["settings"]
    torch.manual_seed(ask["seed"])
    layout = settings["layout"] if tuned else ""
    if tuned:
        train = Batches(*tensors(pictures.normal(pictures.train[0]), pictures.train[1], layout), settings["batch"])
        valid = tensors(pictures.normal(pictures.valid[0]), pictures.valid[1], layout)
        step_at = cosine(watch.epochs * len(train))
    watch.start()
    if tuned:
        net = laid(lenet_torch(tuned=True), settings)
        optimizer = torch.optim.Adam(net.parameters(), settings["lr"], fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, step_at)
    else:
        train = DataLoader(
            TensorDataset(*tensors(pictures.normal(pictures.train[0]), pictures.train[1])), 64, shuffle=True
        )
        valid = tensors(pictures.normal(pictures.valid[0]), pictures.valid[1])
        net = lenet_torch()
        optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    while True:
        for number, (image, label) in enumerate(train):
            optimizer.zero_grad()
            with autocast(settings) if tuned else contextlib.nullcontext():
                loss = F.cross_entropy(net(image), label)
            loss.backward()
            optimizer.step()
            if tuned:
                schedule.step()
            elif number % 10 == 0:
                print(f"Loss: {loss.item():.6f}")
        if watch.over(torch_error(net, *valid)):
            break
        if not tuned:
            schedule.step()
    return watch.answer(torch_error(net, *tensors(pictures.normal(pictures.test[0]), pictures.test[1])))


def main() -> None:
    ask = json.load(sys.stdin)
    if ask["who"] == "settings":
        print("\n" + json.dumps(settings_of(ask)))
        return
    watch = Watch(ask)
    if ask["who"] == "ours":
        answer = ours(ask, watch)
    else:
        pictures = Pictures(ask["folder"], ask.get("most"))
        kind, _, backend = ask["who"].partition("-")
        peers = {"lightning": lightning, "skorch": skorch, "pytorch": pytorch}
        answer = keras_on(backend, ask, pictures, watch) if kind == "keras" else peers[kind](ask, pictures, watch)
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
