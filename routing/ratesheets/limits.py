"""How much a rate sheet may hold; each limit is told to staff when it is passed."""

from __future__ import annotations

from typing import Final

MOST_BYTES: Final = 20 * 1024 * 1024
MOST_ROWS: Final = 250_000
MOST_COLUMNS: Final = 100
MOST_CHARACTERS: Final = 1_000  # of one cell
MOST_PREAMBLE: Final = 30  # lines among which the header is looked for

# Of an XLSX, which is a ZIP archive of XML.
MOST_UNPACKED: Final = 200 * 1024 * 1024
MOST_RATIO: Final = 200  # unpacked to packed, for archives that unpack to more than SMALL
SMALL: Final = 10 * 1024 * 1024
MOST_MEMBERS: Final = 1_000
MOST_ELEMENTS: Final = 12_000_000  # of one part: 250,000 rows of 20 cells, with room
MOST_MARKUP: Final = 256 * 1024  # bytes without the beginning of a tag
MOST_SHEET_ROWS: Final = 1_048_576  # what Excel can number; empty ones count
MOST_SHARED_STRINGS: Final = 1_000_000
MOST_SHARED_CHARACTERS: Final = 20_000_000
