"""Bytes as text, and where they are none."""

from __future__ import annotations

from ..core.errors import UserError

BOM = b"\xef\xbb\xbf"


def utf8(content: bytes, what: str, where: str, who: str = "milestones", before: int = 0) -> str:
    """The text in UTF-8 bytes, without the mark that some programs write before it. `what` it is ("captions") and
    `where` it stands are for the message. UserError: the first byte that is no UTF-8, by line and byte, both from
    1; `before` lines came before these."""
    content = content.removeprefix(BOM)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as problem:
        at = problem.start
        line, column = before + content.count(b"\n", 0, at) + 1, at - content.rfind(b"\n", 0, at)
        got = f"byte {content[at]:#04x} in {where} line {line}, byte {column}"
        raise UserError(f"{what} in UTF-8", got, "Save it as UTF-8", who) from None
