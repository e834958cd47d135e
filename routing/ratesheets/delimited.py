"""Read text whose cells are parted by a comma, a semicolon, a tab or a pipe."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Generator
from functools import partial
from typing import BinaryIO, Final

from routing.ratesheets.grids import Grid, Row
from routing.ratesheets.kinds import UTF_16
from routing.ratesheets.limits import MOST_CHARACTERS, MOST_COLUMNS, MOST_ROWS, MOST_SHEET_ROWS
from routing.ratesheets.lines import DELIMITERS, UnusableSheet

_CHUNK: Final = 1 << 20


def delimited_grids(stream: BinaryIO, encoding: str) -> list[Grid]:
    """Offer the text once by each delimiter; which of them is right shows at the header."""
    return [Grid(partial(_rows, stream, encoding, delimiter), delimiter=delimiter) for delimiter in DELIMITERS]


def encoding_of(stream: BinaryIO) -> str:
    """Name the text's encoding: by its byte-order mark, else UTF-8 where all of it is, else Windows-1252."""
    stream.seek(0)
    if stream.read(2) in UTF_16:
        return "utf-16"
    stream.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := stream.read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _rows(stream: BinaryIO, encoding: str, delimiter: str) -> Generator[Row]:
    stream.seek(0)
    # Windows-1252 leaves five bytes undefined; one of them in a network's name must not spoil the sheet.
    text = io.TextIOWrapper(stream, encoding, errors="replace" if encoding == "cp1252" else "strict", newline="")
    reader = csv.reader(text, delimiter=delimiter)
    line, count = 1, 0
    try:
        for cells in reader:
            if any(cells) and any(map(str.strip, cells)):
                _check(line, cells)
                count += 1
                if count > MOST_ROWS:
                    raise UnusableSheet(f"The sheet has more than {MOST_ROWS:,} rows; split it.")
                yield line, cells
            line = reader.line_num + 1
            if line > MOST_SHEET_ROWS:
                raise UnusableSheet(f"The sheet has more than {MOST_SHEET_ROWS:,} lines, most of them empty.")
    except csv.Error as error:
        hint = " Look for a quotation mark that is never closed." if "limit" in str(error) else ""
        raise UnusableSheet(f"Line {line} cannot be read as CSV: {error}.{hint}") from None
    except UnicodeError:
        raise UnusableSheet("The text is damaged: it does not follow its own encoding (UTF-16).") from None
    finally:
        text.detach()  # else it closes the caller's stream


def _check(line: int, cells: list[str]) -> None:
    if len(cells) > MOST_COLUMNS:
        raise UnusableSheet(f"Line {line} has {len(cells):,} columns; a rate sheet has at most {MOST_COLUMNS}.")
    if len(max(cells, key=len)) > MOST_CHARACTERS:
        raise UnusableSheet(
            f"Line {line} has a cell of more than {MOST_CHARACTERS:,} characters; "
            "look for a quotation mark that is never closed."
        )
