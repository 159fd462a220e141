"""From a CSV of 10,000 texts to a scored classifier: how long it takes, and what four nets reach; vectors of words.

    ./go bench words [--seeds 3] [--only NAME ...] [--quick] [--fresh]

`csv`: 10,000 English verses drawn once, each with the part of the Bible that it stands in (law, history, poetry,
prophets, gospels, letters); `milestones train FILE.csv`, as a user types it, at one seed, timed from the first byte
read to the report. Verses of one book are in all splits: the figures are of verses from known books. `languages`: the
embedded pieces, which are generated. `vectors`: the embedded verses; analogies are the committed lists of
milestones/data/sentences.py. The verses' places are in verses.en-es.tsv.gz under MILESTONES_DATA.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from _pages import end, measured, parser, scores, target
from _results import Results, project
from measure import say

ROWS = 10_000
SECTIONS = {  # by the first book of each, in their order
    "Genesis": "law", "Joshua": "history", "Job": "poetry", "Isaiah": "prophets", "Matthew": "gospels",
    "Romans": "letters", "Revelation of John": "",
}  # fmt: skip
FILE = "verses-10000.csv"
MOST = 60.0  # seconds


def made(folder: Path) -> Path:
    """The CSV of verses and their sections. Exits where the verses are not at hand."""
    source = Path(os.environ.get("MILESTONES_DATA", ""), "verses.en-es.tsv.gz")
    if not source.is_file():
        sys.exit("set MILESTONES_DATA to a folder with verses.en-es.tsv.gz, or take --only languages vectors")
    rows, section = [], ""
    for line in gzip.decompress(source.read_bytes()).decode().splitlines():
        where, english, _ = line.split("\t")
        section = SECTIONS.get(where.rpartition(" ")[0], section)
        if section:
            rows.append((english, section))
    chosen = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    path = folder / FILE
    with open(path, "w", newline="", encoding="utf-8") as stream:
        write = csv.writer(stream)
        write.writerow(("text", "section"))
        write.writerows(rows[k] for k in chosen)
    return path


def main() -> int:
    names = ["csv", "languages", "vectors"]
    args = parser(__doc__, names).parse_args()
    files = [*project("words", "vectors"), Path(__file__)]
    results = Results("words", files, sys.executable, args.fresh, args.quick, targets={"csv, seconds": MOST})
    with tempfile.TemporaryDirectory() as folder:
        path = str(made(Path(folder))) if "csv" in args.only else FILE
        parts = {"csv": ["train", path], "languages": ["train", "words"], "vectors": ["train", "vectors"]}
        summary = measured(results, parts, args, {"csv": 1})
    say(scores(summary))
    if part := results.kept("csv/1"):
        say(target("csv, from the file to the report", part["process_seconds"], MOST, higher=False, unit="s"))
    return end(results, args)


if __name__ == "__main__":
    sys.exit(main())
