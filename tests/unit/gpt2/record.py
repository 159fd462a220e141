"""Writes what test_gpt2.py reads in this folder: a small GPT-2 of random weights as the package transformers saves it,
and what the reference says of it.

    python tests/unit/gpt2/record.py      (needs transformers, tokenizers and regex, which are no dependencies)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import regex
import tokenizers
import torch
import transformers

HERE = Path(__file__).parent
LEARNED = [
    "In the beginning God created the heavens and the earth. The earth was formless and empty.",
    "I'm, you're, they'll, don't: the contractions. And then there were 1, 22 and 333 others.",
    "naïve café über straße, 一二三, \N{GRINNING FACE}\N{GRINNING FACE}",
] * 3
TEXTS = [
    "Hello world", "In the beginning", "I'm, you're   they'll\n\n x", "don't DON'T", "a  b", "  ", "a\n", "x\t\ty \n z",
    "3.14 2x \u00bd \u2167 \u4e00 x\u00b2", "snake_case __", "naïve café \N{GRINNING FACE}!? ..", "e\u0301",
    "\x1ca\x85b\u00a0c\u3000", "'", " 's", "the earth's 333 others'", "\u0660\u0661 \u0e01\u0e33 \ufb01",
]  # fmt: skip

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # of the paper's code
SIGNS = list(" \n\t'stmdlver  aB1_.-é\u00bd\u4e00\U0001f600\u00a0\x85\x1c\u0301")


def main() -> int:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    learner = tokenizers.ByteLevelBPETokenizer()
    learner.train_from_iterator(LEARNED, vocab_size=300, min_frequency=2, show_progress=False)
    learner.save_model(str(HERE))
    vocabulary = json.loads((HERE / "vocab.json").read_text(encoding="utf-8"))
    vocabulary["<|endoftext|>"] = len(vocabulary)
    (HERE / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    words = transformers.GPT2Tokenizer.from_pretrained(str(HERE))
    end = len(vocabulary) - 1
    config = transformers.GPT2Config(vocab_size=len(vocabulary), n_positions=32, n_embd=16, n_layer=2, n_head=2,
                                     bos_token_id=end, eos_token_id=end)  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
    model.save_pretrained(HERE)
    (HERE / "generation_config.json").unlink(missing_ok=True)
    read = torch.randint(len(vocabulary), (20,)).tolist()
    prompt = words("In the beginning")["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([read])).logits[0]
        said = model.generate(torch.tensor([prompt]), max_new_tokens=16, do_sample=False, pad_token_id=end)[0]
    made = ["".join(rng.choice(SIGNS, 30)) for _ in range(80)]
    recorded = {
        "by": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
               "torch": torch.__version__, "regex": regex.__version__},
        "tokens": [[text, words(text)["input_ids"]] for text in TEXTS],
        "pieces": [[text, regex.findall(PATTERN, text)] for text in made],
        "read": read, "logits": [[round(value, 5) for value in row] for row in logits.tolist()],
        "prompt": prompt, "greedy": said[len(prompt) :].tolist(),
    }  # fmt: skip
    (HERE / "recorded.json").write_text(json.dumps(recorded, ensure_ascii=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
