"""Take rows of cells, and the strings that sheets share, out of a workbook's XML as it passes by."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from datetime import datetime
from functools import lru_cache
from typing import Final

from openpyxl.utils.datetime import from_excel

from routing.ratesheets.archive import damaged
from routing.ratesheets.grids import Cell, Formula, Row
from routing.ratesheets.limits import (
    MOST_CHARACTERS,
    MOST_COLUMNS,
    MOST_SHARED_CHARACTERS,
    MOST_SHARED_STRINGS,
    MOST_SHEET_ROWS,
)
from routing.ratesheets.lines import UnusableSheet

_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")


class _Text:
    """Gather the text of the elements that hold some, up to one character more than a cell may have."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self.listening = False

    def begin(self) -> None:
        self._pieces = []
        self._length = 0

    def hear(self, data: str) -> None:
        if self.listening and self._length <= MOST_CHARACTERS:
            self._pieces.append(data)
            self._length += len(data)

    def take(self) -> str:
        text = "".join(self._pieces)
        # Excel writes what XML cannot hold, and carriage returns, by their codes.
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


class SharedStrings:
    """Hear the part of the strings that cells name by number."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self._characters = 0
        self._text = _Text()
        self._phonetic = False
        self.text = self._text.hear

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        if name == "si":
            self._text.begin()
        elif name == "t":
            self._text.listening = not self._phonetic
        elif name == "rPh":  # how a Japanese word is spoken
            self._phonetic = True

    def end(self, name: str) -> None:
        if name == "t":
            self._text.listening = False
        elif name == "rPh":
            self._phonetic = False
        elif name == "si":
            text = self._text.take()
            self.strings.append(text)
            self._characters += len(text)
            if len(self.strings) > MOST_SHARED_STRINGS or self._characters > MOST_SHARED_CHARACTERS:
                raise UnusableSheet("The workbook holds far more text than a rate sheet; copy the prices to a new one.")


class SheetRows:
    """Hear the part of one sheet; `rows` are those that ended since they were taken last."""

    def __init__(self, strings: Sequence[str], date_styles: Set[str], epoch: datetime) -> None:
        self.rows: list[Row] = []
        self._strings = strings
        self._date_styles = date_styles
        self._moment = lru_cache(maxsize=4096)(lambda serial: from_excel(serial, epoch))
        self._indices: dict[str, int] = {}
        self._line = 0
        self._cells: list[Cell] = []
        self._index = -1
        self._type = "n"
        self._style = ""
        self._formula = False
        self._text = _Text()
        self._phonetic = False
        self.text = self._text.hear

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            reference = attributes.get("r")
            self._index = self._index + 1 if reference is None else self._index_of(reference)
            self._type = attributes.get("t", "n")
            self._style = attributes.get("s", "")
            self._formula = False
            self._text.begin()
        elif name == "v":
            # Behind a formula stands what it gave when it was last computed.
            self._text.listening = not self._formula
        elif name == "t":
            self._text.listening = self._type == "inlineStr" and not self._phonetic
        elif name == "row":
            self._begin_row(attributes.get("r"))
        elif name == "f":
            self._formula = self._text.listening = True
        elif name == "rPh":
            self._phonetic = True

    def end(self, name: str) -> None:
        if name in ("v", "t", "f"):
            self._text.listening = False
        elif name == "c":
            if (value := self._value()) is not None:
                self._put(value)
        elif name == "row":
            if self._cells:
                self.rows.append((self._line, self._cells))
                self._cells = []
        elif name == "rPh":
            self._phonetic = False

    def _begin_row(self, number: str | None) -> None:
        line = self._line + 1 if number is None else int(float(number))
        if line <= self._line:
            raise damaged("its rows are out of order")
        if line > MOST_SHEET_ROWS:
            raise UnusableSheet(f"The sheet has rows beyond line {MOST_SHEET_ROWS:,}.")
        self._line = line
        self._cells = []
        self._index = -1

    def _index_of(self, reference: str) -> int:
        letters = reference.rstrip("0123456789")
        index = self._indices.get(letters)
        if index is None:
            index = -1
            for letter in letters[:4].upper():
                index = (index + 1) * 26 + ord(letter) - ord("A")
            self._indices[letters] = index
        return index

    def _value(self) -> Cell:
        text = self._text.take()
        if self._formula:
            return Formula(f"={text}")
        if not text:
            return None
        match self._type:
            case "n":
                return self._number(text)
            case "s":
                return self._strings[int(text)] or None
            case "b":
                return text == "1"
            case _:  # inlineStr, str, e for #N/A and the like, d for a date as text
                return text

    def _number(self, text: str) -> Cell:
        number = int(text) if text.isdecimal() and len(text) < 16 else float(text)
        if self._style not in self._date_styles:
            return number
        try:
            moment: Cell = self._moment(number)
        except (OverflowError, ValueError):
            return "#VALUE!"  # as Excel shows it, or rather ####
        return moment

    def _put(self, value: Cell) -> None:
        cells, index = self._cells, self._index
        if not 0 <= index < MOST_COLUMNS:
            raise UnusableSheet(f"Line {self._line} has more than {MOST_COLUMNS} columns.")
        if isinstance(value, str) and len(value) > MOST_CHARACTERS:
            raise UnusableSheet(f"Line {self._line} has a cell of more than {MOST_CHARACTERS:,} characters.")
        while len(cells) < index:
            cells.append(None)
        if len(cells) > index:
            cells[index] = value
        else:
            cells.append(value)
