"""Hand out the lines of a text file that people exported by hand, and refuse what is not text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_LINE: Final = 1_000_000
# Wherever people copy text from, these come along and are not seen.
INVISIBLE: Final = "\u200b\u200c\u200d\u2060\ufeff"


class UnusableFile(Exception):
    """The file as a whole cannot be read; the message names file, line and reason, and repeats no cell."""


def tidy(text: str) -> str:
    """Take spaces of every kind off both ends, the non-breaking and the invisible ones too."""
    while (shorter := text.strip().strip(INVISIBLE)) != text:
        text = shorter
    return text


class Lines:
    """Hand out the lines of a file and count them; a quoted line break counts."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        # Wrong bytes become lone surrogates here, so that the line which holds them can be named.
        raw = io.BufferedReader(_KeptOpen(stream))
        self._text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._source = source
        self._pushed_back = ""
        self.number = 0

    def push_back(self, line: str) -> None:
        self._pushed_back = line
        self.number -= 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._pushed_back or self._text.readline(MAX_LINE + 1)
        self._pushed_back = ""
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > MAX_LINE:
            raise UnusableFile(f"{self._source}: line {self.number} has more than {MAX_LINE:,} characters.")
        if "\0" in line or not _is_text(line):
            raise UnusableFile(
                f"{self._source}: line {self.number} is not UTF-8 text. Export the file as CSV in UTF-8; "
                "workbooks and other encodings are not guessed at."
            )
        return line


class _KeptOpen(io.RawIOBase):
    """Lend a stream to a text reader without handing over its closing."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer) as view:
            chunk = self._stream.read(len(view))
            view[: len(chunk)] = chunk
        return len(chunk)


def _is_text(line: str) -> bool:
    if line.isascii():
        return True
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
