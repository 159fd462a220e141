"""JoeyNMT's reverse task: the numbers of a line backwards, ours and JoeyNMT one after the other.

    ./go bench reverse [--seeds 1] [--fresh] [--ours]

Generated as JoeyNMT's own script does: 50,000 training lines of 1 to 25 numbers from 0 to 49, 1,000 lines each of up to
30 for validation and test, so that some are longer than any that was learned; seed 42. JoeyNMT 2.3 trains by its own
configs/rnn_reverse.yaml, with the five epochs of its tutorial, and validates every 1,000 updates, on the processor. It
lives in an environment of its own, since it wants old packages: MILESTONES_JOEYNMT names its Python. Ours learns the
same lines, each number written as a word of two letters so that it is one token for both; net and batch are in the
results. Both are timed as whole processes; BLEU is sacreBLEU's of the test lines, greedy, as JoeyNMT measures it.
`seconds_to_95` is the time from the start until validation BLEU first reached 95 (JoeyNMT's log).
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _results import Results, project
from measure import ROOT, TRIES, Value, clean, ratios, run, say, spread, table

TARGET = {"bleu": 95.0, "times": 8.0}
SIZES = {"train": (50_000, 25), "dev": (1_000, 30), "test": (1_000, 30)}
OURS = {"vocabulary": 450, "width": 32, "hidden": 128, "dropout": 0.0, "smoothing": 0.0, "steps": 800, "batch": 128,
        "lr": 8e-3, "average": 0.99, "beam": 1, "longest": 60, "baseline": "false"}  # fmt: skip
LETTERS = "abcdefgh"
YAML = """name: reverse
joeynmt_version: "2.3.0"
data: {{train: "{0}/train", dev: "{0}/dev", test: "{0}/test", dataset_type: plain,
  src: {{lang: src, max_length: 25, level: word, voc_limit: 100, voc_min_freq: 0}},
  trg: {{lang: trg, max_length: 25, level: word, voc_limit: 100, voc_min_freq: 0}}}}
testing: {{n_best: 1, beam_size: 1, beam_alpha: 1.0, eval_metrics: [bleu], max_output_length: 30, batch_size: 10,
  batch_type: sentence, return_prob: none, sacrebleu_cfg: {{tokenize: 13a}}}}
training: {{random_seed: {1}, optimizer: adam, learning_rate: 0.001, learning_rate_min: 0.0002, weight_decay: 0.0,
  clip_grad_norm: 1.0, batch_size: 10, batch_type: sentence, scheduling: plateau, patience: 5, decrease_factor: 0.5,
  early_stopping_metric: bleu, epochs: {2}, validation_freq: 1000, logging_freq: 100, model_dir: "{0}/model",
  overwrite: true, shuffle: true, use_cuda: false, fp16: false, print_valid_sents: [0], keep_best_ckpts: 2}}
model: {{initializer: xavier_uniform, embed_initializer: normal, embed_init_weight: 0.1, bias_initializer: zeros,
  init_rnn_orthogonal: false, lstm_forget_gate: 0.0,
  encoder: {{type: recurrent, rnn_type: lstm, embeddings: {{embedding_dim: 16, scale: false}}, hidden_size: 64,
    bidirectional: true, dropout: 0.1, num_layers: 1}},
  decoder: {{type: recurrent, rnn_type: lstm, embeddings: {{embedding_dim: 16, scale: false}}, hidden_size: 64,
    dropout: 0.1, hidden_dropout: 0.1, num_layers: 1, input_feeding: true, init_hidden: zero, attention: luong,
    activation: tanh}}}}
"""


def lines() -> dict[str, list[list[int]]]:
    """The task: lines of numbers by split."""
    rng = np.random.RandomState(42)
    return {
        name: [rng.randint(0, 50, rng.randint(1, longest + 1)).tolist() for _ in range(count)]
        for name, (count, longest) in SIZES.items()
    }


def word(number: int) -> str:
    """A number as two letters."""
    return LETTERS[number // 8] + LETTERS[number % 8]


def number(text: str) -> str:
    """The number that two letters say; other words as they are."""
    known = len(text) == 2 and set(text) <= set(LETTERS)
    return str(8 * LETTERS.index(text[0]) + LETTERS.index(text[1])) if known else text


def bleu(guesses: list[str], truth: list[str]) -> float:
    import sacrebleu

    return float(sacrebleu.corpus_bleu(guesses, [truth], tokenize="13a").score)


def ours(seed: int, quick: bool) -> Value:
    """One training by the command that users type, then the test lines through `use`."""
    task = lines()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = ["split\tsource\ttarget"]
        for split, those in task.items():
            for line in those:
                said = list(map(word, line))
                rows.append("\t".join((split, " ".join(said), " ".join(reversed(said)))))
        (folder / "reverse.tsv").write_text("\n".join(rows) + "\n")
        (folder / "test.txt").write_text("\n".join(" ".join(map(word, line)) for line in task["test"]) + "\n")
        options = [part for name, value in OURS.items() for part in (f"--{name}", str(value))]
        begin = [sys.executable, "-m", "milestones"]
        env = {"PYTHONPATH": str(ROOT)}

        def once() -> Value:
            more = ["--minutes", "0.05"] if quick else []
            words = [
                *begin,
                "train",
                "translator",
                "--data",
                "reverse.tsv",
                "--seed",
                str(seed),
                "--json",
                *options,
                *more,
            ]
            done = run(words, env, folder)
            if done["code"]:
                sys.exit(done["err"][-2000:])
            return {**done, "report": json.loads(done["out"].strip().splitlines()[-1])}

        trained = clean(once, 1 if quick else TRIES)
        report = trained["report"]
        said = run([*begin, "use", report["run"], "test.txt", "--beam", "1"], env, folder)["out"].strip().splitlines()
    guesses = [" ".join(map(number, line.split())) for line in said]
    truth = [" ".join(map(str, reversed(line))) for line in task["test"]]
    return {"seconds": trained["seconds"], "training_seconds": report["seconds"], "bleu": bleu(guesses, truth),
            "settings": OURS, "parameters": report.get("parameters"), "foreign": trained["foreign"],
            "dirty": trained["dirty"]}  # fmt: skip


def joeynmt(seed: int, quick: bool) -> Value:
    """One training of JoeyNMT, then its own test of its best checkpoint."""
    python = os.environ.get("MILESTONES_JOEYNMT", "")
    if not Path(python).exists():
        sys.exit(f"expected the Python of an environment with joeynmt 2.3 in MILESTONES_JOEYNMT, found {python!r}")
    task = lines()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for split, those in task.items():
            (folder / f"{split}.src").write_text("\n".join(" ".join(map(str, line)) for line in those) + "\n")
            (folder / f"{split}.trg").write_text("\n".join(" ".join(map(str, line[::-1])) for line in those) + "\n")
        (folder / "reverse.yaml").write_text(YAML.format(folder, 42 + seed, 1 if quick else 5))

        def once() -> Value:
            done = run([python, "-m", "joeynmt", "train", "reverse.yaml", "--skip-test"], {}, folder)
            if done["code"]:
                sys.exit(done["err"][-3000:])
            return done

        trained = clean(once, 1)  # too long to repeat
        log = (folder / "model" / "train.log").read_text(errors="replace")
        told = run([python, "-m", "joeynmt", "test", "reverse.yaml", "--output-path", "said"], {}, folder)
        if told["code"]:
            sys.exit(told["err"][-3000:])
        guesses = (folder / "said.test").read_text().splitlines()
    found = re.findall(
        r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ .*Evaluation result.*?bleu:\s*([\d.]+)", log, re.MULTILINE
    )
    clock = [datetime.datetime.fromisoformat(when) for when, _ in found]
    first = re.search(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", log, re.MULTILINE)
    began = datetime.datetime.fromisoformat(first.group(1)) if first else None
    reached = [(when - began).total_seconds() for when, (_, score) in zip(clock, found, strict=True)
               if began and float(score) >= TARGET["bleu"]]  # fmt: skip
    truth = [" ".join(map(str, reversed(line))) for line in task["test"]]
    return {"seconds": trained["seconds"], "bleu": bleu(guesses, truth),
            "seconds_to_95": reached[0] if reached else None,
            "validation_bleu": [float(score) for _, score in found], "foreign": trained["foreign"],
            "dirty": trained["dirty"]}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ours", action="store_true", help="ours alone")
    parser.add_argument("--quick", action="store_true", help="a smoke run; says nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured already")
    args: Any = parser.parse_args()
    files = [*project("translator"), Path(__file__)]
    results = Results("reverse", files, sys.executable, args.fresh, args.quick, seeds=args.seeds, target=TARGET)
    both: dict[str, list[Value]] = {"ours": [], "JoeyNMT 2.3": []}
    for seed in range(args.seeds):  # one after the other
        for name, measure in (("ours", ours), ("JoeyNMT 2.3", joeynmt)):
            if not (args.ours and name != "ours"):
                say(f"{name}, seed {seed}")
                both[name].append(results.part(f"{name}/{seed}", functools.partial(measure, seed, args.quick)))
    summary: Value = {name: {key: spread([one[key] for one in those]) for key in ("seconds", "bleu")}
                      for name, those in both.items() if those}  # fmt: skip
    if both["JoeyNMT 2.3"]:
        pairs = ([one["seconds"] for one in those] for those in (both["JoeyNMT 2.3"], both["ours"]))
        summary["times faster"] = ratios(*pairs)
    results.write(systems=summary)
    rows = [[name, f"{found['bleu']['mean']:.2f}", f"{found['seconds']['mean']:.0f}"]
            for name, found in summary.items() if "bleu" in found]  # fmt: skip
    say(table(["", "BLEU", "seconds"], rows))
    if "times faster" in summary:
        times = summary["times faster"]["mean"]
        say(f"{times:.1f} times faster; at least {TARGET['times']:g} wanted, with BLEU 95 and up")
    say("a smoke run: these figures say nothing" if args.quick else f"written to {results.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
