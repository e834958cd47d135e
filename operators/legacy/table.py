"""Read a CSV file that people exported by hand, strictly: what cannot be read for certain is refused with its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from operators.legacy.lines import Lines, UnusableFile, tidy


@dataclass(frozen=True)
class Record:
    """One record: the line it begins on (the header's file begins with line 1) and its cells by field.

    `is_too_wide` tells that it has more filled cells than the header has columns: a comma without quotes.
    """

    line: int
    cells: Mapping[str, str] = field(repr=False)
    is_too_wide: bool


class Table:
    """Iterate over the records of one CSV file, one at a time; blank lines are left out.

    `titles` maps the title of each known column to the field it becomes. Titles are compared by letters and digits
    alone; the columns may stand in any order among others, which are ignored. Iterating raises UnusableFile for bytes
    that are not UTF-8, NUL characters, over-long lines and cells, and quotation marks that do not pair.
    """

    def __init__(
        self, stream: BinaryIO, *, source: str, titles: Mapping[str, str], required: Collection[str], delimiters: str
    ) -> None:
        self._source = source
        self._lines = Lines(stream, source)
        with self._told():
            first = next((line for line in self._lines if tidy(line)), "")
            if not first:
                raise UnusableFile(f"{source} is empty.")
            known = {_key(title): field_name for title, field_name in titles.items()}
            delimiter = max(delimiters, key=lambda mark: _hits(first, mark, known))
            self._lines.push_back(first)
            self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
            header = next(self._reader, [])
        self._positions: dict[str, int] = {}
        ignored = []
        for position, title in enumerate(header):
            field_name = known.get(_key(title))
            if field_name in self._positions:
                raise UnusableFile(f"{source}: the header names the column “{tidy(title)}” twice.")
            if field_name is not None:
                self._positions[field_name] = position
            elif tidy(title):
                ignored.append(tidy(title))
        self.ignored: tuple[str, ...] = tuple(ignored)
        self.missing: tuple[str, ...] = tuple(title for title in titles if titles[title] not in self._positions)
        if lacking := [title for title in self.missing if titles[title] in required]:
            raise UnusableFile(
                f"{source}: the header lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}."
            )
        self._width = len(header)

    @property
    def order(self) -> tuple[str, ...]:
        """Name the fields in the order of this file's columns."""
        return tuple(sorted(self._positions, key=self._positions.__getitem__))

    def __iter__(self) -> Iterator[Record]:
        while True:
            line = self._lines.number + 1
            with self._told():
                cells = next(self._reader, None)
            if cells is None:
                return
            if not any(map(tidy, cells)):
                continue
            yield Record(
                line=line,
                cells={
                    name: cells[position] if position < len(cells) else "" for name, position in self._positions.items()
                },
                is_too_wide=any(map(tidy, cells[self._width :])),
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        line = self._lines.number + 1
        try:
            yield
        except csv.Error as error:
            reason = (
                f"a cell has more than {csv.field_size_limit():,} characters; is a quotation mark left open?"
                if "limit" in str(error)
                else "the quotation marks do not pair."
            )
            raise UnusableFile(f"{self._source}: in the record that begins on line {line}, {reason}") from None


def _key(title: str) -> str:
    return re.sub(r"[\W_]", "", title).casefold()


def _hits(header: str, delimiter: str, known: Collection[str]) -> int:
    return sum(_key(title) in known for title in next(csv.reader([header], delimiter=delimiter), []))
