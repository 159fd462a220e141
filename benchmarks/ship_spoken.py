"""Makes milestones/data/spoken.npz: the spoken numbers and dates that ship, said by espeak-ng (extra `speech`).

    python benchmarks/ship_spoken.py

Always the same script of sentences, voices, speeds and pitches. Samples differ in their last bits from one time to the
next, since espeak-ng's flutter runs on; so what ships is made once, and made again only when `VERSION` changes.
"""

from __future__ import annotations

import time

from measure import say

from milestones.data.spoken import EMBEDDED, lines, make, opened

SENTENCES, TAKES = 2100, 2
LARGEST = 8_000_000  # bytes


def main() -> None:
    began, script = time.perf_counter(), lines(SENTENCES, TAKES)
    make(EMBEDDED, script, lambda count: count % 1000 or say(f"{count:,} of {len(script):,} said"))
    size, made = EMBEDDED.stat().st_size, time.perf_counter()
    held = opened(EMBEDDED, ""), opened(EMBEDDED, "", alone=True)
    seconds = sum(len(part.samples.values) / part.rate_hz for part in held)
    say(f"{len(script):,} recordings, {seconds:,.0f} s of sound in {size:,} bytes ({size / seconds:,.0f} a second), "
        f"made in {made - began:.0f} s, read in {time.perf_counter() - made:.1f} s")  # fmt: skip
    if size > LARGEST:
        EMBEDDED.unlink()
        raise SystemExit(f"more than {LARGEST:,} bytes: take fewer sentences")


if __name__ == "__main__":
    main()
