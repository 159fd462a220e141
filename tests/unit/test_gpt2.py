"""GPT-2 as it was published: the net against NumPy and against what the reference gave, its byte pairs, its folder."""

# ruff: noqa: E501  (one case a line)

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import milestones
from milestones.catalog import published
from milestones.cli import main
from milestones.core.errors import UserError
from milestones.core.source import keyed
from milestones.media import Ranking, Text
from milestones.parts.gpt2 import END, GPT2, BytePairs, Shape, byte_signs, pieces
from milestones.parts.sampling import sampled

SHAPE = Shape(tokens=270, length=24, width=12, heads=3, layers=2, inner=20, epsilon=1e-5)
REFERENCE = Path(__file__).parent / "gpt2"


@pytest.fixture
def net() -> GPT2:
    model = GPT2(SHAPE).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(0.5 * torch.randn(weight.shape, generator=keyed("gpt2", name)))
    return model


def by_hand(weights: dict[str, np.ndarray], tokens: list[int], heads: int) -> np.ndarray:
    """The logits "T V" in NumPy, place by place and head by head, as the paper's equations have them."""

    def normed(x: np.ndarray, name: str) -> np.ndarray:
        off = x - x.mean(-1, keepdims=True)
        return (
            off / np.sqrt((off**2).mean(-1, keepdims=True) + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        )

    def affine(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = weights["wte.weight"][tokens] + weights["wpe.weight"][: len(tokens)]
    width = x.shape[1]
    each = width // heads
    for k in range(sum(name.endswith("ln_1.weight") for name in weights)):
        sides = affine(normed(x, f"h.{k}.ln_1"), f"h.{k}.attn.c_attn")
        out = np.zeros_like(x)
        for t in range(len(tokens)):
            for head in range(heads):
                part = slice(head * each, (head + 1) * each)
                query, keys = sides[t, :width][part], sides[: t + 1, width : 2 * width][:, part]
                scores = keys @ query / math.sqrt(each)
                share = np.exp(scores - scores.max())
                out[t, part] = share / share.sum() @ sides[: t + 1, 2 * width :][:, part]
        x = x + affine(out, f"h.{k}.attn.c_proj")
        inner = affine(normed(x, f"h.{k}.ln_2"), f"h.{k}.mlp.c_fc")
        gelu = 0.5 * inner * (1 + np.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        x = x + affine(gelu, f"h.{k}.mlp.c_proj")
    return normed(x, "ln_f") @ weights["wte.weight"].T


def as_numpy(net: GPT2) -> dict[str, np.ndarray]:
    return {name: weight.double().numpy() for name, weight in net.state_dict().items()}


TOKENS = [5, 269, 0, 17, 17, 101, 44, 3]


@torch.no_grad()
def test_logits_are_those_of_the_equations(net: GPT2) -> None:
    expected = torch.from_numpy(by_hand(as_numpy(net), TOKENS, SHAPE.heads))
    torch.testing.assert_close(net(torch.tensor([TOKENS]))[0].double(), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_step_by_step_says_what_the_whole_says(net: GPT2) -> None:
    token = torch.tensor([TOKENS, TOKENS[::-1]])
    whole = net(token)
    begun = [net.begin(row[:3]) for row in token]
    for row, (logits, onward), expected in zip(token.tolist(), begun, whole.numpy(), strict=True):
        said = [logits, *(onward(one) for one in row[3:])]
        np.testing.assert_allclose(said, expected[2:], rtol=1e-4, atol=1e-5)
    said, kept = net.read(token)
    assert len(kept) == 2 * SHAPE.layers and kept[0].shape == (2, SHAPE.heads, len(TOKENS), 4)


def test_it_goes_on_greedily_as_the_equations_do(net: GPT2) -> None:
    text, weights = list(TOKENS), as_numpy(net)
    for _ in range(10):
        text.append(int(by_hand(weights, text, SHAPE.heads)[-1].argmax()))
    found = sampled(net, torch.tensor(TOKENS), 10, 0.0, 0, 1.0, keyed(0), net.length)
    assert list(found) == text[len(TOKENS) :]


def test_parameters_of_the_smallest_published() -> None:
    with torch.device("meta"):
        net = GPT2(Shape(50257, 1024, 768, 12, 12, 3072))
    assert sum(weight.numel() for weight in net.parameters()) == 124_439_808
    assert list(net.h[0].attn.c_attn.weight.shape) == [768, 2304]


# Byte pairs

CASES = {
    "Hello world": ["Hello", " world"],
    "I'm, you're   they'll\n\n x": ["I", "'m", ",", " you", "'re", "  ", " they", "'ll", "\n\n", " x"],
    "don't DON'T": ["don", "'t", " DON", "'", "T"],
    "a  b": ["a", " ", " b"],
    "  ": ["  "],
    "a\n": ["a", "\n"],
    "x\t\ty \n z": ["x", "\t", "\t", "y", " \n", " z"],
    "3.14 2x ½ Ⅷ 一 x²": ["3", ".", "14", " 2", "x", " ½", " Ⅷ", " 一", " x", "²"],
    "snake_case __": ["snake", "_", "case", " __"],
    "naïve café": ["naïve", " café"],
    "\x1ca\x85b\u00a0c\u3000": ["\x1c", "a", "\x85", "b", "\u00a0", "c", "\u3000"],
    "e\u0301 😀!? ..": ["e", "\u0301", " 😀!?", " .."],
    "": [],
    "'": ["'"],
    " 's": [" '", "s"],
}


@pytest.mark.parametrize("text", CASES)
def test_texts_are_cut_as_the_published_pattern_cuts_them(text: str) -> None:
    assert pieces(text) == CASES[text]


def words_of(*merged: str) -> tuple[dict[str, int], list[str]]:
    """A vocabulary of all bytes and of what these merges ("a b") make, and the end of a text last."""
    made = [line.replace(" ", "") for line in merged]
    tokens = [*sorted(byte_signs(), key=lambda sign: byte_signs()[sign]), *made, END]
    return {token: k for k, token in enumerate(tokens)}, list(merged)


MERGES = ("t h", "th e", "Ġ the", "a a", "aa aa", "e r", "Ã ©")


def test_bytes_have_signs_of_their_own() -> None:
    signs = byte_signs()
    assert sorted(signs.values()) == list(range(256)) and len(signs) == 256
    assert signs["A"] == 65 and signs["Ġ"] == 32 and signs["Ċ"] == 10 and signs["é"] == 0xE9


def test_pairs_are_joined_in_the_order_in_which_they_were_learned() -> None:
    words = BytePairs(*words_of(*MERGES))
    spelled = [[words.spell(token) for token in words.encode(text)] for text in ("other the", "aaaaa", "é ther")]
    assert spelled[0] == [b"o", b"the", b"r", b" the"]
    assert spelled[1] == [b"aaaa", b"a"]
    assert spelled[2] == ["é".encode(), b" the", b"r"]
    assert words.end == len(words) - 1 == words.begin and words.spell(words.end) == END.encode()
    assert words.shown(words.encode(" the")[0]) == "_the" and words.shown(words.encode("\n")[0]) == "\\n"


def test_any_text_comes_back() -> None:
    words, rng = BytePairs(*words_of(*MERGES)), np.random.default_rng(0)
    for text in ["", *CASES, *("".join(map(chr, rng.integers(0, 0xD800, 30))) for _ in range(50))]:
        assert words.decode(words.encode(text)) == text
    assert words.decode(words.encode("a\ud800b")) == "a?b"
    assert words.spell(10_000) == b"", "a net may have more tokens than the vocabulary"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda words, merges: words.update({"zz": 999}), "tokens that are not numbered from 0"),
        (lambda words, merges: merges.append("q u"), "the merge 'q u', whose token is missing"),
        (lambda words, merges: words.update({"a b": words.pop(END)}), "which is not written in bytes"),
        (lambda words, merges: words.update({"zz": words.pop("A")}), "no token for the byte 0x41"),
    ],
)
def test_vocabularies_that_do_not_fit(change: Callable[..., Any], match: str) -> None:
    words, merges = words_of(*MERGES)
    change(words, merges)
    with pytest.raises(ValueError, match=match):
        BytePairs(words, merges)


# The folder

CONFIG = {
    "model_type": "gpt2", "vocab_size": 270, "n_positions": 24, "n_embd": 12, "n_head": 3, "n_layer": 2, "n_inner": 20,
    "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05, "architectures": ["GPT2LMHeadModel"],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, net: GPT2) -> Path:
    """A small GPT-2 as it would be published, in half precision, with the buffers that old files have."""
    place = tmp_path / "small-gpt2"
    place.mkdir()
    weights = {f"transformer.{name}": weight.half() for name, weight in net.state_dict().items()}
    weights["transformer.h.0.attn.bias"] = torch.ones(1, 1, 24, 24, dtype=torch.uint8)
    weights["lm_head.weight"] = net.wte.weight.detach().half().clone()
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    words, merges = words_of(*MERGES)
    (place / "config.json").write_text(json.dumps(CONFIG))
    (place / "vocab.json").write_text(json.dumps(words))
    (place / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    return place


def test_a_folder_continues_a_text_as_the_net_does(folder: Path, net: GPT2, capsys: pytest.CaptureFixture[str]) -> None:
    for word in (folder, folder / "model.safetensors"):
        trained = milestones.load(str(word))
        assert trained.entry.name == "gpt" and not trained.model.training
        options = {"length": 12, "temperature": 0.0}
        (answer,) = trained.use([Text("other the")], options)
        words = BytePairs(*words_of(*MERGES))
        half = {name: weight.astype(np.float16).astype(np.float64) for name, weight in as_numpy(net).items()}
        text = words.encode("other the")
        for _ in range(12):
            text.append(int(by_hand(half, text, SHAPE.heads)[-1].argmax()))
        assert answer["answer"].text == words.decode(text)
        assert isinstance(answer["next"], Ranking)
        assert main(["use", str(word), "other the", "--length", "12", "--temperature", "0", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["answers"][0]["answer"] == words.decode(text)


def test_an_empty_text_begins_after_the_end_of_another_and_an_end_ends_it(folder: Path) -> None:
    trained = milestones.load(str(folder))
    vectors, gain, shift = (trained.model.get_parameter(name) for name in ("wte.weight", "ln_f.weight", "ln_f.bias"))
    begin, seen = trained.model.begin, list[list[int]]()
    trained.model.begin = lambda token: (seen.append(token.tolist()), begin(token))[1]  # type: ignore[assignment]
    for token, expected in ((263, ""), (65, "AAAAA")):  # the end of a text; a letter
        with torch.no_grad():
            vectors[token] *= 20
            gain.zero_()
            shift.copy_(vectors[token])  # then this token is the likeliest, whatever was read
        (answer,) = trained.use([Text("")], {"length": 5, "temperature": 0.0})
        assert answer["answer"].text == expected
    assert seen == [[263]] * 4, "once for what may come next, once for the text"


def test_a_text_longer_than_the_context_is_read_from_its_end(folder: Path) -> None:
    (answer,) = milestones.load(str(folder)).use([Text("ab" * 30)], {"length": 30})
    assert answer["prompt"].text == "the last 24 of its 60 tokens were read: more the net does not hold"
    assert answer["answer"].text.startswith("ab" * 30)


def rewritten(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))

    return rewrite


def reweighted(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")

    return rewrite


LN = "transformer.h.1.ln_2.weight"
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "two files missing": (lambda f: [(f / name).unlink() for name in ("vocab.json", "config.json")],
                          "expected a GPT-2 in .*small-gpt2: model.safetensors, config.json, vocab.json, merges.txt, got no "
                          "config.json, vocab.json. Put all four into one folder; of weights only safetensors are read"),
    "weights missing": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "got no model.safetensors"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "a readable config.json in .*, got no valid JSON"),
    "another net": (rewritten(lambda c: c.update(model_type="llama")), "model_type 'gpt2' in config.json .*, got 'llama'"),
    "another activation": (rewritten(lambda c: c.update(activation_function="relu")),
                           "activation_function 'gelu_new' in config.json of .*, got 'relu'. Only GPT-2 and what is built"),
    "a number as a truth": (rewritten(lambda c: c.update(scale_attn_weights=1)), "scale_attn_weights True in .*, got 1"),
    "no size": (rewritten(lambda c: c.pop("n_layer")), "n_layer from 1 to 1,024 in config.json of .*, got None"),
    "a huge size": (rewritten(lambda c: c.update(n_positions=1 << 40)), "n_positions from 1 to 1,048,576 in config.json"),
    "heads that do not fit": (rewritten(lambda c: c.update(n_head=5)), "sizes that fit each other in .*, got n_embd 12, n_head 5"),
    "other shapes": (rewritten(lambda c: c.update(n_positions=32)),
                     r"wpe.weight of shape \[32, 12\] in .*, got \[24, 12\]. These are other weights than config.json tells"),
    "more layers": (rewritten(lambda c: c.update(n_layer=3)), r"h.2.attn.c_attn.bias of shape \[36\] in .*, got none"),
    "a weight too many": (reweighted(lambda w: w.update(extra=torch.ones(2))), r"extra of shape none in .*, got \[2\]"),
    "a weight missing": (reweighted(lambda w: w.pop(LN)), r"h.1.ln_2.weight of shape \[12\] in .*, got none"),
    "not finite": (reweighted(lambda w: w.update({LN: w[LN] * math.nan})), "expected finite weights in"),
    "another output layer": (reweighted(lambda w: w["lm_head.weight"].mul_(2)), "lm_head.weight equal to wte.weight in"),
    "a cut file": (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]),
                   "a whole safetensors file model.safetensors"),
    "more tokens than vectors": (rewritten(lambda c: c.update(vocab_size=200)), "at most 200 tokens, as config.json in .*, got 264"),
    "another vocabulary": (lambda f: (f / "merges.txt").write_text("q u\n"),
                           "vocab.json and merges.txt that fit in .*, got the merge 'q u', whose token is missing"),
    "numbers as text": (lambda f: (f / "vocab.json").write_text('{"a": "b", "c": 1}'), "vocab.json and merges.txt that fit"),
    "merges that are no text": (lambda f: (f / "merges.txt").write_bytes(b"\xff"), "merges.txt in UTF-8, a merge a line, got"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_is_no_gpt2(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, match = BAD[name]
    spoil(folder)
    with pytest.raises(UserError, match=match):
        milestones.load(str(folder))
    assert main(["use", str(folder), "x"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1


def test_what_is_no_published_folder(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"")
    assert published("gpt") is None and published(str(tmp_path)) is None and published(str(tmp_path / "no")) is None
    assert published(str(tmp_path / "weights.safetensors")) == tmp_path / "weights.safetensors"


# What the reference gave: tests/unit/gpt2/recorded.json says by which versions and how


def test_the_reference_says_the_same() -> None:
    recorded = json.loads((REFERENCE / "recorded.json").read_text(encoding="utf-8"))
    trained = milestones.load(str(REFERENCE))
    words = BytePairs(trained.facts["vocabulary"], trained.facts["merges"])
    assert len(recorded["pieces"]) == 80 and all(pieces(text) == found for text, found in recorded["pieces"])
    for text, tokens in recorded["tokens"]:
        assert words.encode(text) == tokens and words.decode(tokens) == text
    with torch.no_grad():
        found = trained.model(torch.tensor([recorded["read"]]))[0]
    torch.testing.assert_close(found, torch.tensor(recorded["logits"]), rtol=1e-4, atol=1e-4)
    prompt, count = torch.tensor(recorded["prompt"]), len(recorded["greedy"])
    assert (
        list(sampled(trained.model, prompt, count, 0.0, 0, 1.0, keyed(0), trained.model.length)) == recorded["greedy"]
    )
