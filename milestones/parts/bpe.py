"""A vocabulary of byte pairs (Sennrich, Haddow & Birch 2016; over bytes: Radford et al. 2019), learned from a text.

Each byte is a token, and the pairs that stand side by side most often are joined, again and again. So no word is
unknown: one that was never seen, a name or a number, is spelled in pieces that a net can copy. Turning a text into
tokens loses nothing.
"""

from __future__ import annotations

import heapq
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

PAD, BEGIN, END = 0, 1, 2
BYTES = 256
# What may be joined: the letters of a word with the blank before it, a digit alone, signs that follow one another.
PIECES = re.compile(r" ?[^\W\d_]+| ?\d| ?[^\s\w]+| ?_+|\s")


def pieces(text: str) -> list[str]:
    """The text cut where nothing is joined; a blank is put before its first word, so that all words look alike."""
    return PIECES.findall(" " + text)


def learn(texts: Iterable[str], size: int, least: int = 2, most: int = 8000) -> list[tuple[int, int]]:
    """At most `size` pairs to be joined, in their order; symbol 256 + k is what the k-th makes. Each stood in at least
    `least` places. The most frequent comes first; of equals the one of the smaller symbols. Counted in the `most`
    frequent pieces: rarer ones take time and move little.
    """
    counts = Counter(itertools.chain.from_iterable(map(pieces, texts))).most_common(most)
    words = [list(piece.encode("utf-8", "replace")) for piece, _ in counts]
    count: dict[tuple[int, int], int] = defaultdict(int)
    where: dict[tuple[int, int], set[int]] = defaultdict(set)
    for k, word in enumerate(words):
        for pair in itertools.pairwise(word):
            count[pair] += counts[k][1]
            where[pair].add(k)
    heap = [(-n, pair) for pair, n in count.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    while heap and len(merges) < size:
        n, pair = heapq.heappop(heap)
        if -n != count[pair]:  # it has changed since: another entry says how often it stands now
            continue
        if -n < least:
            break
        made, touched = BYTES + len(merges), set()
        merges.append(pair)
        for k in where.pop(pair):
            word, often, at = words[k], counts[k][1], 0
            while at < len(word) - 1:
                if word[at] == pair[0] and word[at + 1] == pair[1]:
                    if at:
                        before = word[at - 1]
                        count[before, pair[0]] -= often
                        count[before, made] += often
                        where[before, made].add(k)
                        touched.update(((before, pair[0]), (before, made)))
                    if at + 2 < len(word):
                        after = word[at + 2]
                        count[pair[1], after] -= often
                        count[made, after] += often
                        where[made, after].add(k)
                        touched.update(((pair[1], after), (made, after)))
                    word[at : at + 2] = [made]
                at += 1
        count[pair] = 0
        for other in touched:
            if count[other] > 0:
                heapq.heappush(heap, (-count[other], other))
    return merges


class Vocabulary:
    """Tokens of texts: padding, begin, end, then `marks` (words of its user's own, as target languages), 256 bytes,
    and what was joined."""

    def __init__(self, merges: Sequence[tuple[int, int]], marks: Sequence[str] = ()) -> None:
        self.marks, self.first = tuple(marks), 3 + len(marks)
        self.rank = {tuple(pair): k for k, pair in enumerate(merges)}
        spelled = [bytes([k]) for k in range(BYTES)]
        for one, two in merges:
            spelled.append(spelled[one] + spelled[two])
        self.spelled = spelled
        self._known: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return self.first + len(self.spelled)

    def mark(self, name: str) -> int:
        """The token of one of the marks."""
        return 3 + self.marks.index(name)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        out: list[int] = []
        for piece in pieces(text):
            found = self._known.get(piece)
            if found is None:
                found = self._known[piece] = [self.first + symbol for symbol in self._joined(piece)]
            out += found
        return out

    def _joined(self, piece: str) -> list[int]:
        """The symbols of a piece: its bytes, joined in the order in which the merges were learned."""
        word, none = list(piece.encode("utf-8", "replace")), len(self.rank)
        ranks = [self.rank.get(pair, none) for pair in itertools.pairwise(word)]
        while ranks and (best := min(ranks)) < none:
            at = ranks.index(best)
            word[at : at + 2] = [BYTES + best]
            del ranks[at]
            if at:
                ranks[at - 1] = self.rank.get((word[at - 1], word[at]), none)
            if at < len(ranks):
                ranks[at] = self.rank.get((word[at], word[at + 1]), none)
        return word

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens. Those of no text are left out; bytes that are no UTF-8 become a mark of their own."""
        text = b"".join(self.spelled[token - self.first] for token in tokens if token >= self.first)
        return text.decode("utf-8", "replace").removeprefix(" ")

    def shown(self, token: int) -> str:
        """How one token is written in a picture: a blank before a word as a low line."""
        if token < 3:
            return ("", "<s>", "</s>")[token]
        if token < self.first:
            return f"<{self.marks[token - 3]}>"
        spelled = self.spelled[token - self.first]
        try:
            return spelled.decode("utf-8").replace(" ", "_")
        except UnicodeDecodeError:
            return " ".join(f"{byte:02x}" for byte in spelled)

    def spell(self) -> str:
        """The merges as one text, for facts.json."""
        return " ".join(f"{one} {two}" for one, two in self.rank)


def unspelled(text: str) -> list[tuple[int, int]]:
    """The merges that `spell` wrote."""
    numbers = list(map(int, text.split()))
    return list(zip(numbers[::2], numbers[1::2], strict=True))
