"""Look through an XLSX for what would exhaust memory or time, before a library that trusts it reads it.

openpyxl reads whole parts into memory and zipfile inflates up to 2 GB before it compares with the size that the archive
declares, so nothing that is declared counts here until every part was inflated in small pieces and counted.
"""

from __future__ import annotations

import copy
import os
import zipfile
import zlib
from typing import BinaryIO, Final
from xml.parsers import expat

from routing.ratesheets import limits
from routing.ratesheets.lines import UnusableSheet

_CHUNK: Final = 64 * 1024
_BOMB: Final = "The workbook unpacks to far more than a rate sheet holds; it may be a ZIP bomb."
_DAMAGED: Final = "The workbook is damaged; open it and save it again as .xlsx."


def check_archive(stream: BinaryIO) -> None:
    """Raise UnusableSheet unless all parts stay within the limits and are what the archive declares.

    Costs one pass over the unpacked bytes; memory stays below a megabyte.
    """
    packed = stream.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_declared(members, packed)
            elements = unpacked = 0
            for member in members:
                part = _Part(member.filename, elements)
                with archive.open(_unlimited(member)) as inflated:
                    while chunk := inflated.read(_CHUNK):
                        part.feed(chunk)
                        _check_size(unpacked + part.size, packed)
                part.end()
                if part.size != member.file_size:
                    raise UnusableSheet(f"{_DAMAGED} A part has another size than the archive declares.")
                unpacked += part.size
                elements = part.elements
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise UnusableSheet(_DAMAGED) from error


def _check_declared(members: list[zipfile.ZipInfo], packed: int) -> None:
    if len(members) > limits.MOST_MEMBERS:
        raise UnusableSheet(f"The workbook has more than {limits.MOST_MEMBERS:,} parts.")
    for member in members:
        if member.flag_bits & 0x1:
            raise UnusableSheet("The workbook is protected by a password; save it without one.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnusableSheet(_DAMAGED)
    _check_size(sum(member.file_size for member in members), packed)


def _check_size(unpacked: int, packed: int) -> None:
    if unpacked > limits.MOST_UNPACKED:
        raise UnusableSheet(f"{_BOMB} At most {limits.MOST_UNPACKED:,} bytes are read.")
    if unpacked > limits.SMALL and unpacked > packed * limits.MOST_RATIO:
        raise UnusableSheet(f"{_BOMB} At most {limits.MOST_RATIO} times its size is read.")


def _unlimited(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Give the member without its declared size, at which zipfile would stop and so hide what follows."""
    probe = copy.copy(member)
    probe.file_size = limits.MOST_UNPACKED + 1
    del probe.CRC
    return probe


class _Part:
    """One part as it comes out: its bytes, and where it is XML also its elements, which become objects later."""

    def __init__(self, name: str, elements: int) -> None:
        self.size = 0
        self.elements = elements
        self._must_be_xml = name.endswith((".xml", ".rels"))
        self._held = self._text = self._rows = self._strings = self._gap = 0
        self._parser: expat.XMLParserType | None = expat.ParserCreate()
        self._parser.StartElementHandler = self._element
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._parser is None:
            return
        self._gap = 0 if b"<" in chunk else self._gap + len(chunk)
        if self._gap > limits.MOST_MARKUP:
            raise UnusableSheet(f"The workbook has a cell of more than {limits.MOST_CHARACTERS:,} characters.")
        self._parse(chunk, final=False)

    def end(self) -> None:
        if self._parser is not None and self.size:
            self._parse(b"", final=True)

    def _parse(self, chunk: bytes, *, final: bool) -> None:
        assert self._parser is not None
        try:
            self._parser.Parse(chunk, final)
        except expat.ExpatError as error:
            if self._must_be_xml:
                raise UnusableSheet(_DAMAGED) from error
            self._parser = None  # a picture, say; openpyxl could not read further either

    def _element(self, name: str, _attributes: dict[str, str]) -> None:
        self.elements += 1
        self._held += 1
        self._text = 0
        local = name.rpartition(":")[2]
        if local == "row":
            self._rows += 1
            self._held = 0
        elif local == "si":
            self._strings += 1
            self._held = 0
        if (
            self.elements > limits.MOST_ELEMENTS
            or self._held > limits.MOST_ELEMENTS_HELD
            or self._rows > limits.MOST_SHEET_ROWS
            or self._strings > limits.MOST_SHARED_STRINGS
        ):
            raise UnusableSheet("The workbook holds far more cells than a rate sheet; copy the prices to a new one.")

    def _characters(self, data: str) -> None:
        self._text += len(data)
        if self._text > limits.MOST_MARKUP:
            raise UnusableSheet(f"The workbook has a cell of more than {limits.MOST_CHARACTERS:,} characters.")

    def _doctype(self, *_: object) -> None:
        raise UnusableSheet("The workbook declares a document type (DOCTYPE), which Excel never does; it was not read.")
