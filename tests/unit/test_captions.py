"""Captions: the user's own pictures and sentences, the net and its scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from milestones.core.errors import UserError
from milestones.core.score import Score
from milestones.core.source import Choice, Data, Place, keyed
from milestones.data.captioned import LONGEST, captioned, split_words
from milestones.data.captions import (
    BEGIN,
    END,
    PAD,
    UNKNOWN,
    Captioned,
    attended,
    captions,
    drawn_by_lot,
    numbered,
    spell,
    trials,
)  # fmt: skip
from milestones.data.kinds import kind
from milestones.data.look import look
from milestones.media import Image, Listing
from milestones.systems.captions import (
    Teller,
    answers,
    build,
    loss,
    score,
    system,
    told,
    use,
    where,
)  # fmt: skip

CPU = torch.device("cpu")
TINY = system.Config(pictures=64, width=4, hidden=16)


@pytest.fixture(scope="module")
def data() -> Data[Captioned]:
    return captions(Place(CPU, 0), 64, 64)


@pytest.fixture(scope="module")
def model(data: Data[Captioned]) -> Teller:
    torch.manual_seed(0)
    return build(TINY, data.facts).eval()


def pictures(folder: Path, count: int = 12) -> list[str]:
    """So many small pictures in a folder, each of another colour."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{k:02}.png" for k in range(count)]
    for k, name in enumerate(names):
        Pillow.fromarray(np.full((20 + k, 24, 3), (20 * k, 255 - 20 * k, 7 * k), np.uint8)).save(folder / name)
    return names


def jsonl(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "captions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def of(path: Path, **more: str) -> Data[Captioned]:
    return captions(Place(CPU, 0, choice=Choice(str(path), **more)), 64, 32)


def coco(folder: Path, names: list[str]) -> Path:
    found = {
        "images": [{"id": 7 + k, "file_name": name} for k, name in enumerate(names)],
        "annotations": [{"id": k, "image_id": 7 + k // 2, "caption": f"Picture {k // 2}, seen {'once again'[k % 2:]}."}
                        for k in range(2 * len(names))],
    }  # fmt: skip
    path = folder / "captions.json"
    path.write_text(json.dumps(found))
    return path


def test_words_are_cut_at_spaces_and_marks() -> None:
    assert split_words("A man's well-known dog, (2 years) - _née_ ÉCLAIR!") == [
        "a", "man's", "well-known", "dog", "2", "years", "née", "éclair",
    ]  # fmt: skip
    words = ["", "<begin>", "<end>", "<unknown>", "a", "dog"]
    rows, count = numbered([["A dog.", "a cat"], ["dog"]], words)
    assert rows.tolist() == [[[1, 4, 5, 2], [1, 4, 3, 2]], [[1, 5, 2, 0], [0, 0, 0, 0]]]
    assert count.tolist() == [2, 1]
    assert spell([BEGIN, 4, UNKNOWN, END, PAD], words) == "a <unknown>"


def test_each_picture_gets_two_of_its_sentences_by_lot() -> None:
    words = torch.arange(24, dtype=torch.int16).view(2, 4, 3)
    batch = Captioned(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), words, torch.tensor([4, 1]))
    seen = set()
    for k in range(300):
        one = drawn_by_lot(batch, keyed("lot", k))
        assert one.words.shape == (2, 2, 3)
        assert one.words[1].tolist() == [[12, 13, 14]] * 2, "its only one"
        seen.add(tuple(one.words[0, :, 0].tolist()))
    assert seen == {(a, b) for a in (0, 3, 6, 9) for b in (0, 3, 6, 9) if a != b}


def test_the_world_of_shapes_as_data(data: Data[Captioned]) -> None:
    facts = data.facts
    assert (len(data.train), len(data.valid), len(data.test)) == (64, 16, 16)
    assert (
        "synthetic" in facts["data"]["name"]
        and "synthetic" in data.test.name
        and "drawn by code" in facts["data"]["note"]
    )
    batch = data.train.batch(0, 8)
    assert batch.image.shape == (8, 3, 64, 64)
    assert batch.words.shape[:2] == (8, 2)
    assert (batch.words[..., 0] == BEGIN).all() and ((batch.words == END).sum(-1) == 1).all()
    assert (batch.words != UNKNOWN).all()
    other = captions(Place(CPU, 1), 64, 64)
    assert torch.equal(other.test.examples.image, data.test.examples.image), "tested on the same for each seed"
    assert not torch.equal(other.train.examples.image, data.train.examples.image)


def test_a_word_is_chosen_by_what_was_said_before_it_alone(model: Teller, data: Data[Captioned]) -> None:
    batch = next(data.valid.sweep(4))
    words = batch.words[:, :1].long()
    with torch.no_grad():
        whole = model(batch.image, words)
        changed = words.clone()
        changed[..., 5:] = UNKNOWN
        part = model(batch.image, changed)
    assert torch.allclose(whole.logits[:, :5], part.logits[:, :5], atol=1e-6)
    assert not torch.allclose(whole.logits[:, 5:], part.logits[:, 5:], atol=1e-3)
    assert torch.allclose(whole.looked.sum(-1), torch.ones(whole.looked.shape[:2]))
    assert whole.looked.shape[2] == 64


def test_word_by_word_is_as_all_at_once(model: Teller, data: Data[Captioned]) -> None:
    batch = next(data.valid.sweep(3))
    words = batch.words[:, 0].long()
    with torch.no_grad():
        whole, seen = model(batch.image, words[:, None]).logits, model.map(batch.image)
        state = model.begin(seen)
        for k in range(words.shape[1]):
            said, state = model.say(seen, words[:, k : k + 1], state)
            assert torch.allclose(said.logits[:, 0], whole[:, k], atol=1e-5)


def test_attention_is_that_of_a_plain_loop(model: Teller) -> None:
    rng = torch.Generator().manual_seed(0)
    seen, query = torch.randn(1, 64, 16, generator=rng), torch.randn(1, 2, 12, generator=rng)  # 12 of form, 4 of hue
    with torch.no_grad():
        looked, form, hue = model.look(query, seen)
        for t in range(2):
            scores = [float(query[0, t] @ model.key(seen[0, p, :12])) / 12**0.5 for p in range(64)]
            weights = np.exp(np.array(scores) - max(scores))
            weights /= weights.sum()
            assert looked[0, t].numpy() == pytest.approx(weights, abs=1e-6)
            assert torch.cat([form, hue], -1)[0, t].numpy() == pytest.approx(weights @ seen[0].numpy(), abs=1e-5)


def test_the_experts_chances_sum_to_one(model: Teller, data: Data[Captioned]) -> None:
    batch = next(data.valid.sweep(2))
    with torch.no_grad():
        logits = model(batch.image, batch.words[:, :1].long()).logits
        assert torch.allclose(logits.exp().sum(-1), torch.ones(2, logits.shape[1]), atol=1e-5)
        seen = model.map(batch.image)
        assert torch.equal(seen, model.map(batch.image)), "colours are mixed in training alone"
        turned = batch.image.flip(1)  # blue for red: of other hues, and mixed they could be the same forms
        assert not torch.equal(seen[..., 12:], model.map(turned)[..., 12:])


def test_hue_sees_no_form_and_form_no_contrast(model: Teller, data: Data[Captioned]) -> None:
    image = next(data.valid.sweep(3)).image.float()
    blocks = image.view(3, 3, 8, 4, 2, 8, 4, 2)  # of 2 x 2 pixels in cells of 8 x 8
    stirred = blocks[:, :, :, [2, 0, 3, 1]][:, :, :, :, :, :, [3, 1, 0, 2]].reshape(image.shape)
    weaker = image * torch.tensor([0.5, 0.7, 0.9])[:, None, None] + torch.tensor([30.0, 5.0, 0.0])[:, None, None]
    with torch.no_grad():
        seen, other, dim = (model.map(one) for one in (image, stirred, weaker))
    assert not torch.equal(image, stirred)
    assert torch.allclose(seen[..., 12:], other[..., 12:], atol=1e-5)
    assert torch.allclose(seen[..., :12], dim[..., :12], atol=1e-3)
    assert not torch.allclose(seen[..., :12], other[..., :12], atol=1e-2)
    assert not torch.allclose(seen[..., 12:], dim[..., 12:], atol=1e-2)


def test_the_loss_is_the_mean_over_words(model: Teller, data: Data[Captioned]) -> None:
    batch = data.train.batch(0, 6)
    with torch.no_grad():
        found = loss(model, batch)
        total, wrong, n = 0.0, 0, 0
        for row in range(6):
            for r in range(2):
                words = batch.words[row, r].long()
                length = int((words != PAD).sum())
                logits = model(batch.image[row : row + 1], words[None, None, : length - 1]).logits[0]
                total -= float(logits.log_softmax(-1).gather(1, words[1:length, None]).sum())
                wrong += int((logits.argmax(-1) != words[1:length]).sum())
                n += length - 1
    assert float(found["loss"]) == pytest.approx(total / n, rel=1e-4)
    assert float(found["error"]) == pytest.approx(100 * wrong / n, rel=1e-4)


def test_scores_are_right_of_a_net_that_says_what_it_is_told(
    model: Teller, data: Data[Captioned], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the pictures get their second sentence, half a wrong one."""
    from milestones.parts.beam import Hypothesis

    every = next(data.test.sweep(16))
    key = {image.numpy().tobytes(): k for k, image in enumerate(every.image)}

    def said(model: Teller, image: torch.Tensor, longest: int, width: int = 3) -> list[list[Hypothesis]]:
        found = []
        for one in image:
            row = key.get(one.numpy().tobytes())
            words = every.words[row, 1].tolist() if row is not None and row % 2 == 0 else [BEGIN, 4, 5, END]
            found.append([Hypothesis([w for w in words if w not in (PAD, BEGIN, END)], -1.0)])
        return found

    monkeypatch.setattr("milestones.systems.captions.told", said)
    scores = score(TINY, model, data, Place(CPU, 0))
    assert scores["exact"].value == 50 and "synthetic" in scores["exact"].data
    assert scores["exact_known"].value == 0, "others than the test pictures"
    assert 0 < scores["bleu"].value < 100
    assert {one.unit for name, one in scores.items() if name != "cider"} == {"%"}
    assert all(isinstance(one, Score) and one.low <= one.value <= one.high for one in scores.values())
    assert scores["attention_inside"].over == 8
    assert "% of all places would be inside" in scores["attention_inside"].note


def test_where_it_looked_is_inside_when_it_is(data: Data[Captioned]) -> None:
    """Attention made by hand: on the named group for all words but one of three."""
    seen = trials(20, "test")
    rows, _ = numbered([each[:1] for each in seen.said], data.facts["words"])
    tokens = [[t for t in row[0] if t not in (PAD, BEGIN, END)] for row in rows.tolist()]
    single = [k for k in range(20) if seen.world.count[k, 1] == 0]
    key = {seen.drawn.image[k].numpy().tobytes(): k for k in range(20)}

    def looked(image: torch.Tensor, said: Sequence[list[int]]) -> torch.Tensor:
        out = torch.zeros(len(said), max(map(len, said)), 64)
        for row, one in enumerate(image):
            y, x = seen.drawn.owner[key[one.numpy().tobytes()]].nonzero()[0].tolist()
            out[row, :, y // 8 * 8 + x // 8] = 1
        out[:, 3] = 0  # for the word of the shape the first corner, where nothing is
        out[:, 3, 0] = 1
        return out

    said = [t if k in single else [] for k, t in enumerate(tokens)]
    share, chance = attended(seen, said, data.facts["words"], looked, 8)
    assert len(share) == len(single) >= 3
    corner = [bool(seen.drawn.owner[k, :8, :8].any()) for k in single]
    assert share.tolist() == pytest.approx([100 if c else 200 / 3 for c in corner], abs=0.01)
    assert 2 < chance < 40


def test_use_says_a_sentence_and_shows_where_it_looked(model: Teller, data: Data[Captioned]) -> None:
    images = [Image(np.full((60, 90, 3), 128, np.uint8)), Image(np.full((48, 48), 9, np.uint8))]
    found = use(model, data.facts, images, beam=4)
    for answer in found:
        assert list(answer) == ["answer", "sentences", "looked"]
        listed = answer["sentences"]
        assert isinstance(listed, Listing) and len(listed.cells) == 4
        assert listed.cells[0][0] == str(answer["answer"])
        chances = [float(row[1] or 0) for row in listed.cells]
        assert chances == sorted(chances, reverse=True)
        assert "<" not in str(answer["answer"])
    with pytest.raises(UserError, match="--beam from 1 to 100 sentences"):
        use(model, data.facts, images, beam=0)


def test_more_hypotheses_find_no_less_likely_sentences(model: Teller, data: Data[Captioned]) -> None:
    image = next(data.valid.sweep(5)).image
    one, many = told(model, image, 16, 1), told(model, image, 16, 20)
    for few, more in zip(one, many, strict=True):
        assert more[0].score >= few[0].score - 1e-5 or not few[0].whole
    said, meant = answers(model, data.valid, data.facts)
    assert len(said) == len(meant) == 16
    assert where(model, image, said[:5]).shape == (5, max(map(len, said[:5])), 64)


# The user's own


@pytest.mark.parametrize("form", ["jsonl", "list", "csv", "tsv", "coco"])
def test_own_pictures_are_read(tmp_path: Path, form: str) -> None:
    names = pictures(tmp_path / "own")
    folder = tmp_path / "own"
    if form == "coco":
        coco(folder, names)
    elif form == "list":
        jsonl(
            folder, [{"file": name, "caption": [f"number {k}", f"It is number {k}!"]} for k, name in enumerate(names)]
        )
    elif form == "jsonl":
        jsonl(folder, [{"file_name": name, "text": f"{word} {k}"} for k, name in enumerate(names)
                       for word in ("Number", "It is number")])  # fmt: skip
    else:
        mark = "," if form == "csv" else "\t"
        lines = [f"image{mark}caption", *(f"{name}{mark}number {k}" for k, name in enumerate(names))]
        (folder / f"captions.{form}").write_text("\n".join(lines) + "\n")
    assert kind(str(folder)) == "captions"
    data = of(folder)
    assert data.train.examples.image.shape[1:] == (3, 32, 32)
    assert len(data.train) + len(data.valid) + len(data.test) == 12
    assert data.train.examples.count.max() == (1 if form in ("csv", "tsv") else 2)
    assert data.facts["data"]["name"] == "own"
    model = build(TINY, data.facts).eval()
    scores = score(TINY, model, data, Place(CPU, 0))
    assert set(scores) == {"exact", "bleu", "cider"}
    findings = look(folder)
    assert findings.kind == "captions" and findings.usable
    assert sum(split["pictures"] for split in findings.counts.values()) == 12


def test_own_splits_are_kept_and_final_learns_from_all_but_test(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    jsonl(
        tmp_path, [{"file": n, "caption": f"picture {n[:2]}", "split": s} for n, s in zip(names, splits, strict=True)]
    )
    data = of(tmp_path)
    assert [len(source) for source in data[:3]] == [8, 2, 2]
    assert "are unknown" in data.facts["data"]["note"]
    assert [len(source) for source in of(tmp_path, split="final")[:3]] == [10, 2, 2]


def test_cocos_pictures_lie_beside_the_folder_of_annotations(tmp_path: Path) -> None:
    names = pictures(tmp_path / "val2017")
    (tmp_path / "annotations").mkdir()
    path = coco(tmp_path / "annotations", names).rename(tmp_path / "annotations" / "captions_val2017.json")
    assert kind(str(path)) == "captions"
    found = captioned(path)
    assert len(found.paths) == 12 and not found.problems
    assert "24 sentences, 12 pictures with several" in found.notes[0]


def test_what_is_wrong_with_own_captions_is_said_once(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    rows: list[dict[str, object]] = [{"file": name, "caption": "a picture"} for name in names]
    rows[1]["caption"], rows[2]["caption"], rows[3]["caption"] = " ", None, "!?"
    rows[4]["caption"] = "word " * (LONGEST + 9940)
    rows[5]["file"], rows[6]["file"] = "gone.png", ""
    rows[7]["split"] = "holdout"
    path = jsonl(tmp_path, rows)
    findings = look(path)
    assert len(findings.problems) == 4
    missing, empty, long, split = findings.problems
    assert (
        "expected the pictures that the captions are of, got missing 2 of 12" in missing
        and "gone.png (line 6)" in missing
    )
    assert "expected a sentence for each picture, got none for 3 of 12" in empty and "line 2, line 3, line 4" in empty
    assert "sentences of at most 60 words" in long and "line 5 with 10,000 words" in long
    assert "train, valid or test as split" in split and "'holdout' (line 8)" in split
    with pytest.raises(UserError, match="missing 2 of 12"):
        of(path)


def test_captions_that_cannot_be_read(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    path = tmp_path / "captions.csv"
    path.write_bytes(b"file,caption\n00.png,fine\n01.png,caf\xe9\n")
    with pytest.raises(UserError, match=r"captions in UTF-8, got byte 0xe9 in .* line 3, byte 11"):
        of(path)
    with pytest.raises(UserError, match="a table with columns file and caption"):
        captioned(tmp_path / "none.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"Write captions\.jsonl with file and caption in each line"):
        captioned(tmp_path / "empty")
    path.write_text("file,kind\n00.png,a\n")
    with pytest.raises(UserError, match="columns that name the picture and what is said"):
        captioned(path)
    jsonl(tmp_path, [{"file": name, "caption": "one"} for name in names[:2]])
    with pytest.raises(UserError, match="at least 3 pictures with captions"):
        of(tmp_path / "captions.jsonl")
    same = (tmp_path / names[0]).read_bytes()
    for name in names:
        (tmp_path / name).write_bytes(same)
    jsonl(tmp_path, [{"file": name, "caption": "one"} for name in names])
    with pytest.raises(UserError, match="different pictures for each split, got none for"):
        of(tmp_path / "captions.jsonl")
    assert not look(tmp_path / "captions.jsonl").usable


def test_damaged_coco_files_are_named(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    path = coco(tmp_path, names)
    found = json.loads(path.read_text())
    found["annotations"][0]["image_id"] = 999
    path.write_text(json.dumps(found))
    with pytest.raises(
        UserError, match=r"an image for each annotation, got 1 annotations of unknown ones .* image_id 999"
    ):
        captioned(path)
    path.write_text('{"images": [], "annotations": [{"caption": 3}]}')
    with pytest.raises(UserError, match="images and annotations with captions, as COCO has them"):
        captioned(path)


def test_pictures_that_cannot_be_read_are_left_out_when_asked(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    path = jsonl(tmp_path, [{"file": name, "caption": f"picture {name[:2]}"} for name in names])
    for name in names[:2]:
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(UserError, match="pictures that can be read, got 2 of 12 that cannot"):
        of(path)
    data = of(path, skip="unreadable")
    assert sum(len(source) for source in data[:3]) == 10
    assert "2 unreadable pictures left out" in data.facts["data"]["note"]
    for name in names[2:]:
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(UserError, match="at least 3 pictures that can be read, got 0"):
        of(path, skip="unreadable")
