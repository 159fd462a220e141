"""Recordings in .edf and .npz, made ones, what is wrong with them, and the page that reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from milestones.core.errors import UserError
from milestones.core.source import Choice, Place, keyed
from milestones.data.kinds import sight
from milestones.data.look import look
from milestones.data.recordings import listed, recordings, trials_of
from milestones.data.rhythms import CLASSES, ELECTRODES, RATE_HZ, coloured, made, sessions, spread_over, subject
from milestones.media import Recording, read
from milestones.media.edf import edf
from milestones.systems.eeg import Knobs, Mixed, Reader, Readers, found, heard, hertz, use, where, within
from milestones.verbs.train import choose


def place(data: object = "", **more: str) -> Place:
    return Place(torch.device("cpu"), 0, choice=Choice(str(data) if data else "", **more))


def written(file: Path, signal: np.ndarray, rate: float, events: list[tuple[float, float, str]] = (),  # type: ignore[assignment]
            rates: list[float] | None = None) -> Path:  # fmt: skip
    """An EDF+ file of these signals "C T", by pyedflib, which no Python after 3.12 has."""
    pyedflib = pytest.importorskip("pyedflib")
    count = len(signal)
    with pyedflib.EdfWriter(str(file), count, file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        writer.setSignalHeaders([
            {"label": f"E{k + 1}", "dimension": "uV", "sample_frequency": (rates or [rate] * count)[k],
             "physical_min": -500.0, "physical_max": 500.0, "digital_min": -32768, "digital_max": 32767,
             "transducer": "", "prefilter": ""} for k in range(count)
        ])  # fmt: skip
        writer.writeSamples([np.ascontiguousarray(line) for line in signal])
        for at, seconds, text in events:
            writer.writeAnnotation(at, seconds, text)
    return file


def test_edf_is_read_as_pyedflib_wrote_it(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).normal(0, 60, (3, 250 * 12))
    events = [(0.5, 4.0, "left"), (5.25, -1.0, "rechts größer"), (7.0, 1.5, "left")]
    got = edf(written(tmp_path / "a.edf", signal, 250, events))
    assert got.rate_hz == 250 and got.channels == ("E1", "E2", "E3") and got.unit == "uV" and got.left_out == ()
    assert got.signal.shape == signal.shape
    np.testing.assert_allclose(got.signal, signal.clip(-500, 500), atol=1000 / 65535 + 1e-3)
    assert [(e.at, e.text) for e in got.events] == [(0.5, "left"), (5.25, "rechts größer"), (7.0, "left")]
    assert [e.seconds for e in got.events] == [4.0, 0.0, 1.5]
    with pytest.importorskip("pyedflib").EdfReader(str(tmp_path / "a.edf")) as reader:
        np.testing.assert_allclose(got.signal[1], reader.readSignal(1), atol=1e-3)


def test_channels_of_another_rate_are_named_and_left_out(tmp_path: Path) -> None:
    signal = [np.zeros(1000), np.ones(1000), np.ones(40)]
    got = edf(written(tmp_path / "a.edf", signal, 100, rates=[100, 100, 4]))  # type: ignore[arg-type]
    assert got.channels == ("E1", "E2") and got.left_out == ("E3",) and got.signal.shape == (2, 1000)
    assert any("1 channels of another rate left out (E3)" in note for note in Recording.open(tmp_path / "a.edf").notes)


def broken(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        file = written(folder / "a.edf", np.zeros((2, 1000)), 100, [(1.0, 2.0, "x")])
        file.write_bytes(change(file.read_bytes()))
        return file

    return make


BROKEN = {
    "empty": (broken(lambda b: b""), "an EDF file, got .*which is none"),
    "another kind": (broken(lambda b: b"GIF89a" + b[6:]), "an EDF file, got .*which is none"),
    "half a header": (broken(lambda b: b[:400]), "a whole EDF header, got .*cut off"),
    "half the records": (broken(lambda b: b[:-2000]), "as many records as the EDF header says"),
    "no number of signals": (broken(lambda b: b[:252] + b"many" + b[256:]), "a number of signals in the EDF header"),
    "no duration": (broken(lambda b: b[:244] + b"ages    " + b[252:]), "numbers in the EDF header"),
    "equal digital limits": (
        broken(lambda b: b[: 256 + 3 * 120] + b"5       " * 6 + b[256 + 3 * 136 :]),
        "two different digital limits of an EDF signal",
    ),
    "too large": (broken(lambda b: b[:236] + b"99999999" + b[244 : 256 + 3 * 216] + b"9999999 " * 3
                         + b[256 + 3 * 224 :]), "an EDF file of at most"),
    "only annotations": (
        broken(lambda b: b[:256] + b"EDF Annotations ".ljust(16) * 3 + b[256 + 48 :]),
        "signals in the EDF file, got only annotations",
    ),
    "nothing there": (lambda folder: folder / "none.edf", "an EDF file, got .*none.edf"),
    "a gap": (
        broken(lambda b: b[:192] + b"EDF+D" + b[197:].replace(b"+3\x14\x14", b"+7\x14\x14")),
        r"an EDF recording without gaps \(EDF\+C\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_edf_is_told(tmp_path: Path, case: str) -> None:
    make, message = BROKEN[case]
    with pytest.raises(UserError, match=message):
        edf(make(tmp_path))


def trials(seed: int, count: int = 24, channels: int = 3, time: int = 200) -> dict[str, Any]:
    """Trials at 100 Hz in which the first channel is strong for `a`, the second for `b`."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 1, (count, channels, time))
    label = np.array(["a", "b"] * (count // 2))
    signal[::2, 0] *= 3
    signal[1::2, 1] *= 3
    return {"signal": signal, "label": label, "rate_hz": 100.0, "channels": np.array(["E1", "E2", "E3"][:channels])}


def test_npz_of_two_subjects_with_splits_in_their_names(tmp_path: Path) -> None:
    for k, name in enumerate(("s1_train", "s1_test", "s2_train", "s2_test")):
        np.savez(tmp_path / f"{name}.npz", **trials(k))
    assert sight(str(tmp_path))[0] == sight(str(tmp_path / "s1_train.npz"))[0] == "recordings"
    assert choose(str(tmp_path)).page == "eeg"
    data = recordings(place(tmp_path), 0, 0, 0.0, 4.0)
    assert data.facts["subjects"] == ["s1", "s2"] and data.facts["labels"] == ["a", "b"]
    assert [len(source) for source in data[:3]] == [38, 10, 48]
    assert torch.equal(data.test.examples.subject, torch.arange(48) // 24)
    np.testing.assert_allclose(data.test.examples.signal[:24], trials(1)["signal"], rtol=1e-5)
    told = look(tmp_path)
    assert told.kind == "recordings" and told.usable and told.counts["test"] == {"a": 24, "b": 24}
    (tmp_path / "s3.npz").write_bytes(b"PK")
    assert sight(str(tmp_path))[0] == "recordings" and len(look(tmp_path).problems) == 1


def test_without_splits_the_last_trials_are_the_test(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", **trials(0, 40))
    data = recordings(place(tmp_path / "all.npz", split="60/20/20"), 0, 0, 0.0, 4.0)
    assert [len(source) for source in data[:3]] == [24, 8, 8]
    np.testing.assert_allclose(data.test.examples.signal, trials(0, 40)["signal"][32:], rtol=1e-5)
    assert "in the order of time" in data.facts["data"]["note"]


def test_edf_trials_are_cut_at_their_annotations(tmp_path: Path) -> None:
    for split in ("train", "test"):
        given = trials(split == "test", 30)
        (tmp_path / split).mkdir()
        whole = 20 * np.concatenate([np.zeros((3, 100)), *given["signal"]], 1)
        events = [(1 + 2 * k - 0.5, -1.0, str(label)) for k, label in enumerate(given["label"])]
        written(tmp_path / split / "me.edf", whole, 100, [*events, (60.9, -1.0, "a")])
    data = recordings(place(tmp_path), 0, 0, 0.5, 2.0)
    assert [len(source) for source in data[:3]] == [24, 6, 30] and data.facts["samples"] == 200
    want = 20 * trials(1, 30)["signal"]
    np.testing.assert_allclose(data.test.examples.signal, want, atol=0.02)
    assert "1 cues too near an end left out" in data.facts["data"]["note"]


Change = Callable[[dict[str, Any]], dict[str, Any]]
WRONG: dict[str, tuple[Change, str]] = {
    "no rate": (lambda x: {k: v for k, v in x.items() if k != "rate_hz"}, r"an .npz with signal .* got only signal"),
    "no label": (lambda x: {**x, "label": x["label"][:3]}, "a label for each trial, got 3 labels for 24 trials"),
    "flat": (lambda x: {**x, "signal": x["signal"].reshape(-1)}, "got signal of 14400 float64 in"),
    "not finite": (
        lambda x: {**x, "signal": x["signal"] * np.nan},
        "finite numbers in each trial, got none in trial 1",
    ),
    "rate of nothing": (lambda x: {**x, "rate_hz": 0}, "rate_hz, samples a second, got '0'"),
    "names": (lambda x: {**x, "channels": ["a", "b"]}, "a name for each channel, got 2 for 3"),
    "split": (lambda x: {**x, "split": "sometimes"}, "train, valid or test as the split of a recording"),
    "one class": (lambda x: {**x, "label": ["a"] * 24}, "trials of at least two classes, got 1"),
    "another rate": (lambda x: {**x, "rate_hz": 99.0}, "in each recording, as in a_train.npz, got 3 channels at 99 Hz"),
    "rare": (lambda x: {**x, "label": ["c", *x["label"][1:]]}, "trials of each class of each subject in train"),
    "nothing marked": (
        lambda x: {**{k: v for k, v in x.items() if k != "label"}, "signal": x["signal"][0]},
        "annotations that begin trials of 4 s, or labels",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_recordings_are_told(tmp_path: Path, case: str) -> None:
    np.savez(tmp_path / "a_train.npz", **trials(0))
    change, message = WRONG[case]
    np.savez(tmp_path / "b_test.npz", **change(trials(1)))
    if case == "one class":
        (tmp_path / "a_train.npz").unlink()
    with pytest.raises(UserError, match=message):
        recordings(place(tmp_path), 0, 0, 0.0, 4.0)


def test_nothing_to_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recordings, got .*nowhere, which does not exist"):
        listed(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"recordings as .npz or .edf, got none in"):
        listed(tmp_path)
    np.savez(tmp_path / "s_train.npz", **trials(0))
    with pytest.raises(UserError, match="no percentages for recordings that have splits of their own"):
        recordings(place(tmp_path, split="60/20/20"), 0, 0, 0.0, 4.0)
    (tmp_path / "s_train.npz").write_bytes(b"PK\x03\x04")
    assert "which is none, or damaged" in str(listed(tmp_path)[1][0])


# ---- made recordings


def test_rhythms_fade_where_and_when_they_were_put_in() -> None:
    """Power at the rhythm's frequency over the area of the imagined class, between its class and the others."""
    head = subject(1)
    label = torch.arange(200) % 4
    signal = made(head, label, keyed("test"), 0)
    spectrum = torch.fft.rfft(signal[..., 250:875]).abs().square()
    hz = torch.fft.rfftfreq(625, 1 / RATE_HZ)
    near = (hz - head.mu_hz).abs() < 1.5
    power = spectrum[..., near].mean(-1).log()  # N C
    for k in range(4):
        change = power[label == k].mean(0) - power[label != k].mean(0)
        area = spread_over(head.area)[k]
        assert float(torch.nn.functional.cosine_similarity(change - change.mean(), area.mean() - area, dim=0)) > 0.6
        assert float(change[area.argmax()]) < -0.25, CLASSES[k]
    noise = coloured((50, 1000), 1 / torch.fft.rfftfreq(1000, 1 / 250).clamp(min=1.0) ** 0.5, keyed("noise"))
    low, high = torch.fft.rfft(noise).abs().square().mean(0)[[8, 200]]
    assert float(low / high) == pytest.approx(25, rel=0.5), "power falls as one over the frequency"


def test_made_sessions_are_the_same_anywhere() -> None:
    one, two = sessions(2, 20), sessions(2, 20)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    signal, label, of, when = one
    assert signal.shape == (80, len(ELECTRODES), 1000)
    counts = torch.bincount(8 * of + 4 * when + label)
    assert counts.tolist() == [5] * 16
    data = recordings(place(), 2, 20, 0.0, 4.0)
    assert "made" in data.test.name and "made" in data.facts["data"]["note"]
    assert [len(source) for source in data[:3]] == [32, 8, 40]


# ---- the page

FACTS = {"channels": list(ELECTRODES), "rate_hz": 250.0, "samples": 1000, "labels": list(CLASSES), "mean": [0.0] * 22,
         "spread": [1.0] * 22, "subjects": ["one", "two"]}  # fmt: skip


@pytest.mark.parametrize(("net", "count"), [("shallow", 46_084), ("deep", 282_879)])
def test_as_many_parameters_as_published(net: str, count: int) -> None:
    reader = Reader(Knobs(net=net, crop_s=0), FACTS)  # type: ignore[arg-type]
    assert sum(p.numel() for p in reader.parameters()) == count


def test_two_convolutions_as_one() -> None:
    mixed, signal = Mixed(5, 7, 9), torch.randn(3, 5, 60)
    both = mixed.space(mixed.time(signal[:, None]))[:, :, 0]
    torch.testing.assert_close(mixed(signal), both, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("net", ["shallow", "deep"])
def test_crops_are_windows_of_the_trial(net: str) -> None:
    """The whole trial's answer is the mean of those of its crops, each read alone."""
    reader = Reader(Knobs(net=net, crop_s=2.0), FACTS).eval()  # type: ignore[arg-type]
    signal = torch.randn(2, 22, 1000, generator=keyed("trial"))
    stride, length = {"shallow": (15, 500), "deep": (81, 500)}[net]
    count = {"shallow": 35, "deep": 7}[net]
    alone = torch.stack([reader(signal[..., k * stride : k * stride + length]) for k in range(count)])
    torch.testing.assert_close(reader(signal), alone.mean(0), atol=1e-4, rtol=1e-3)
    with pytest.raises(UserError, match=f"crops of at least .* samples for the {net} net"):
        Reader(Knobs(net=net, crop_s=0.3), FACTS)  # type: ignore[arg-type]


def test_each_trial_is_read_by_its_subjects_net() -> None:
    model = Readers(Knobs(), FACTS).eval()
    signal, whose = torch.randn(4, 22, 1000), torch.tensor([1, 0, 1, 0])
    want = torch.stack([model.of[k](signal[i : i + 1])[0] for i, k in enumerate(whose.tolist())])
    torch.testing.assert_close(model(signal, whose), want, atol=1e-5, rtol=1e-4)


def test_use_takes_trials_events_or_a_long_recording(tmp_path: Path) -> None:
    model = Readers(Knobs(), FACTS).eval()
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 8, (22, 250 * 13)).astype(np.float32)
    order = rng.permutation(22)
    names = tuple(ELECTRODES[k] for k in order)
    long = Recording(signal[None][:, order], 250.0, names)
    cut, begins = trials_of(FACTS, long)
    assert begins == [0, 4, 8] and torch.equal(cut[1], torch.from_numpy(signal[:, 1000:2000]))
    np.savez(tmp_path / "x.npz", signal=signal[None, :, :1000], rate_hz=250, channels=ELECTRODES, subject="two")
    (item,) = read(tmp_path / "x.npz", (Recording,))
    assert isinstance(item, Recording)
    mine, asked, mean = (
        use(model, FACTS, [item])[0],
        use(model, FACTS, [item], subject="one")[0],
        use(model, FACTS, [long])[0],
    )
    assert mine["first trial"].chances != asked["first trial"].chances and len(mean["answer"].cells) == 3
    with pytest.raises(UserError, match="a subject of one, two, got 'three'"):
        use(model, FACTS, [item], subject="three")
    wrong = {
        "electrodes that the net learned from": Recording(signal[None, :5], 250.0, ELECTRODES[:5]),
        "a recording at 250 Hz": Recording(signal[None], 500.0, ELECTRODES),
        "trials of 1000 samples.*Pass a longer recording": Recording(signal[None, :, :900], 250.0, ELECTRODES),
    }
    for message, bad in wrong.items():
        with pytest.raises(UserError, match=message):
            use(model, FACTS, [bad])


def test_what_was_found_stands_beside_what_was_put_in() -> None:
    data = recordings(place(), 1, 20, 0.0, 4.0)
    model = Readers(Knobs(), data.facts).eval()
    slopes = heard(model, data)
    listing = found(slopes, data.facts)
    assert len(listing.cells) == 4 and listing.cells[0][3] == " ".join(
        data.facts["truth"]["made 1"]["electrodes"]["left hand"]
    )
    assert slopes.shape == (1, 4, 22, len(hertz(data.facts))) and int(within(data.facts).sum()) == 89
    assert where(slopes, data.facts).values.shape == (4, 22)
