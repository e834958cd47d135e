"""Tell what a file really is by its first bytes; its name only serves to be contradicted."""

from __future__ import annotations

import os
import zipfile
from enum import StrEnum
from pathlib import PurePath
from typing import BinaryIO, Final

from routing.ratesheets.limits import MOST_BYTES
from routing.ratesheets.lines import UnusableSheet


class Kind(StrEnum):
    TEXT = "CSV"
    XLSX = "XLSX"


UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SAVE_AS: Final = "Save it as an Excel workbook (.xlsx) or as CSV."
_OTHERS: Final = (
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a", "a RAR archive"),
    (b"{\\rtf", "an RTF document"),
    (b"<", "a web page or another kind of XML"),  # also what some portals call .xls
)
_ENDINGS: Final = {".xlsx": Kind.XLSX, ".xlsm": Kind.XLSX, ".csv": Kind.TEXT, ".txt": Kind.TEXT, ".tsv": Kind.TEXT}


def kind_of(stream: BinaryIO, filename: str) -> tuple[Kind, tuple[str, ...]]:
    """Return what the file is, with a note where its name says otherwise; raises UnusableSheet for all else."""
    size = stream.seek(0, os.SEEK_END)
    if size > MOST_BYTES:
        raise UnusableSheet(f"The file has {size:,} bytes; a rate sheet has at most {MOST_BYTES:,}.")
    stream.seek(0)
    head = stream.read(4096)
    if not head.strip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"):
        raise UnusableSheet("The file is empty.")
    kind = _by_content(stream, head)
    named = _ENDINGS.get(ending := PurePath(filename).suffix.lower())
    if named == kind:
        return kind, ()
    return kind, (f"The file is called {ending or 'without an ending'}, but it is {kind.value}; it was read as that.",)


def _by_content(stream: BinaryIO, head: bytes) -> Kind:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _by_members(stream)
    if head.startswith(_OLE):
        stream.seek(0)
        if "EncryptedPackage".encode("utf-16-le") in stream.read():
            raise UnusableSheet("The workbook is protected by a password; save it without one.")
        raise UnusableSheet(f"The file is an old Office document (such as .xls). {_SAVE_AS}")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, what in _OTHERS:
        if start.startswith(magic):
            raise UnusableSheet(f"The file is {what}, not a rate sheet. {_SAVE_AS}")
    if not head.startswith(UTF_16) and b"\x00" in head:
        raise UnusableSheet(f"The file is neither text nor a workbook. {_SAVE_AS}")
    return Kind.TEXT


def _by_members(stream: BinaryIO) -> Kind:
    try:
        with zipfile.ZipFile(stream) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise UnusableSheet("The file is a damaged workbook or archive; save it again.") from None
    if "xl/workbook.bin" in names:
        raise UnusableSheet(f"The file is a binary workbook (.xlsb). {_SAVE_AS}")
    if "mimetype" in names:
        raise UnusableSheet(f"The file is an OpenDocument file (such as .ods). {_SAVE_AS}")
    if "[Content_Types].xml" not in names or not any(name.startswith("xl/") for name in names):
        raise UnusableSheet("The file is a ZIP archive without a workbook; unpack it and import the sheets one by one.")
    return Kind.XLSX
