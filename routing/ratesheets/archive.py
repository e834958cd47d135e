"""Open the ZIP archive that an XLSX is, and give its parts in small pieces that are counted as they come out.

zipfile stops at the size that the archive declares, yet may have inflated up to 2 GB by then. So the declared sizes are
checked first, and each part is inflated 64 KB at a time and may not give a byte more than it declares.
"""

from __future__ import annotations

import copy
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from routing.ratesheets import limits
from routing.ratesheets.lines import UnusableSheet

_PIECE: Final = 64 * 1024
_BOMB: Final = "The workbook unpacks to far more than a rate sheet holds; it may be a ZIP bomb."
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def damaged(detail: str = "") -> UnusableSheet:
    return UnusableSheet(f"The workbook is damaged; open it and save it again as .xlsx.{detail and f' ({detail})'}")


class Archive:
    """The parts of an archive whose declared sizes are within the limits."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {_normal(member.filename): member for member in archive.infolist()}

    def __contains__(self, name: str) -> bool:
        return _normal(name) in self._members

    def pieces(self, name: str) -> Iterator[bytes]:
        """Inflate a part; raises UnusableSheet where it is missing, broken, or larger than the archive declares."""
        member = self._members.get(_normal(name))
        if member is None:
            raise damaged(f"{name} is missing")
        # Without its declared size, at which zipfile would stop and so hide what follows.
        probe = copy.copy(member)
        probe.file_size = limits.MOST_UNPACKED + 1
        size = 0
        try:
            with self._archive.open(probe) as part:
                while piece := part.read(_PIECE):
                    size += len(piece)
                    if size > member.file_size:
                        raise UnusableSheet(f"{_BOMB} A part is larger than the archive declares.")
                    yield piece
        except _BROKEN as error:
            raise damaged() from error
        if size != member.file_size:
            raise damaged("a part is cut off")


@contextmanager
def open_archive(stream: BinaryIO) -> Iterator[Archive]:
    """Open an archive after a look at what it declares; nothing is inflated yet."""
    packed = stream.seek(0, os.SEEK_END)
    try:
        archive = zipfile.ZipFile(stream)
    except _BROKEN as error:
        raise damaged() from error
    with archive:
        _check_declared(archive.infolist(), packed)
        yield Archive(archive)


def _check_declared(members: list[zipfile.ZipInfo], packed: int) -> None:
    if len(members) > limits.MOST_MEMBERS:
        raise UnusableSheet(f"The workbook has more than {limits.MOST_MEMBERS:,} parts.")
    for member in members:
        if member.flag_bits & 0x1:
            raise UnusableSheet("The workbook is protected by a password; save it without one.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged("its compression is not that of a workbook")
    unpacked = sum(member.file_size for member in members)
    if unpacked > limits.MOST_UNPACKED:
        raise UnusableSheet(f"{_BOMB} At most {limits.MOST_UNPACKED:,} bytes are read.")
    if unpacked > limits.SMALL and unpacked > packed * limits.MOST_RATIO:
        raise UnusableSheet(f"{_BOMB} At most {limits.MOST_RATIO} times its own size is read.")


def _normal(name: str) -> str:
    """Compare names as Excel does: in any case, and with the backslashes of some writers."""
    return name.replace("\\", "/").lstrip("/").lower()
