"""Files that are too large, not what they claim, or made to exhaust the machine that reads them."""

from __future__ import annotations

import io
import os
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from routing.ratesheets import delimited, limits, markup, workbook
from routing.ratesheets.lines import ColumnMap, UnusableSheet
from routing.ratesheets.reading import read_lines, survey
from tests.routing.ratesheets.sheets import DEFAULTS, PREFIX_AND_COST, read, with_part, with_strings, xlsx

SHEET = xlsx(("Prefix", "Price"), (44, 0.07))
SHEET_XML = "xl/worksheets/sheet1.xml"
NAMESPACE = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
MEGABYTE = 1024 * 1024


@contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * MEGABYTE
    finally:
        tracemalloc.stop()


def refused(content: bytes, filename: str = "rates.xlsx") -> str:
    """Return why a file is refused, which both functions must do alike."""
    with pytest.raises(UnusableSheet) as first:
        survey(io.BytesIO(content), filename=filename)
    with pytest.raises(UnusableSheet) as second:
        list(
            read_lines(io.BytesIO(content), filename=filename, column_map=ColumnMap(PREFIX_AND_COST), defaults=DEFAULTS)
        )
    assert str(first.value) == str(second.value)
    return str(first.value)


def archive_of(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "an image"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"<!DOCTYPE html><table><tr><td>Prefix", "a web page"),
        (b"\xef\xbb\xbf<table>", "a web page"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old Office document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
        (b"\x00\x01\x02\x03" * 9, "neither text nor a workbook"),
        ("Prefix,Price\n44,1\n".encode("utf-16-le"), "neither text nor a workbook"),
        (b"PK\x03\x04 and no more", "damaged"),
        (archive_of(**{"rates.csv": b"Prefix,Price\n44,1\n"}), "a ZIP archive without a workbook"),
        (archive_of(mimetype=b"application/vnd.oasis.opendocument.spreadsheet"), "an OpenDocument file"),
        (archive_of(**{"[Content_Types].xml": b"<a/>", "xl__workbook.bin": b"x"}), "a binary workbook"),
        (archive_of(**{"[Content_Types].xml": b"<a/>", "word__document.xml": b"<a/>"}), "without a workbook"),
        (archive_of(**{"[Content_Types].xml": b"<a/>", "xl__workbook.xml": b"<a/>"}), "no visible sheet"),
        (archive_of(**{"[Content_Types].xml": b"<a/>", "xl__other.xml": b"<a/>"}), "damaged"),
    ],
)
def test_it_says_what_a_file_is_that_is_no_rate_sheet(content: bytes, words: str) -> None:
    assert words in refused(content)


def test_it_refuses_a_file_that_is_too_large() -> None:
    assert "20,971,520" in refused(b"Prefix,Price\n" + b"44,1\n" * (limits.MOST_BYTES // 5), "rates.csv")


def test_it_refuses_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MOST_ROWS", 1_000)
    monkeypatch.setattr(workbook, "MOST_ROWS", 1_000)
    rows = [(number, 1) for number in range(10_000, 11_000)]

    for content, filename in (
        (xlsx(("Prefix", "Price"), *rows), "rates.xlsx"),
        (b"Prefix,Price\n" + b"".join(b"%d,%d\n" % row for row in rows), "rates.csv"),
    ):
        with pytest.raises(UnusableSheet, match="more than 1,000 rows"):
            read(content, filename)
    assert len(read(xlsx(("Prefix", "Price"), *rows[1:]), "rates.xlsx")) == 999
    assert len(read(b"Prefix,Price\n" + b"".join(b"%d,%d\n\n" % row for row in rows[1:]))) == 999


def test_it_refuses_too_many_columns() -> None:
    full = ("Prefix", "Price", *("x" * 98))
    assert len(read(xlsx(full, (44, 1)), "rates.xlsx")) == len(read(",".join(full) + "\n44,1\n")) == 1

    assert "columns" in refused(xlsx((*full, "x"), (44, 1)))
    assert "columns" in refused((",".join((*full, "x")) + "\n44,1\n").encode(), "rates.csv")


@pytest.mark.parametrize("length", [1_001, 200_000])
def test_it_refuses_a_cell_that_is_too_long(length: int) -> None:
    assert "never closed" in refused(b'Prefix,Price\n44,"' + b"1" * length, "rates.csv")
    inline = b'<row><c t="inlineStr"><is><t>%s</t></is></c></row>' % (b"1" * length)
    assert "1,000 characters" in refused(
        with_part(SHEET, SHEET_XML, b"<worksheet %s><sheetData>%s</sheetData></worksheet>" % (NAMESPACE, inline))
    )


def test_it_takes_a_cell_of_a_thousand_characters() -> None:
    assert len(read(f"Prefix,Price,Terms\n44,1,{'x' * 1_000}\n")) == 1
    assert len(read(xlsx(("Prefix", "Price", "Terms"), (44, 1, "x" * 1_000)), "rates.xlsx")) == 1


def test_it_refuses_a_zip_bomb_before_it_goes_off() -> None:
    bomb = with_part(SHEET, SHEET_XML, b"<row/>" * (40 * MEGABYTE))
    assert len(bomb) < MEGABYTE

    with at_most(5):
        assert "ZIP bomb" in refused(bomb)


def test_it_refuses_what_shrinks_too_well_to_be_prices() -> None:
    assert "200 times its own size" in refused(with_part(SHEET, SHEET_XML, b" " * (30 * MEGABYTE)))


@pytest.mark.parametrize("name", [SHEET_XML, "xl/workbook.xml", "xl/styles.xml", "xl/_rels/workbook.xml.rels"])
def test_it_refuses_a_bomb_that_declares_a_harmless_size(name: str) -> None:
    # 150 MB that are neither too much nor too dense by what is declared.
    noise = random.Random(1).randbytes(2 * MEGABYTE)
    bomb = with_part(with_part(SHEET, name, b" " * (150 * MEGABYTE)), "xl/noise.bin", noise)
    lying = bytearray(bomb)
    entry = bomb.rindex(name.encode(), 0, len(bomb)) - 46
    assert lying[entry : entry + 4] == b"PK\x01\x02"
    struct.pack_into("<I", lying, entry + 24, 1_000)
    struct.pack_into("<I", lying, entry + 16, zlib.crc32(b" " * 1_000))  # what zipfile would see and believe

    with at_most(8):
        assert "larger than the archive declares" in refused(bytes(lying))


def test_it_never_unpacks_an_archive_inside_the_archive() -> None:
    inner = archive_of(bomb=b"0" * (150 * MEGABYTE))

    with at_most(5):
        assert len(read(with_part(SHEET, "xl/embeddings/inner.zip", inner), "rates.xlsx")) == 1


def test_it_refuses_an_archive_that_no_spreadsheet_writes() -> None:
    locked = bytearray(SHEET)
    locked[SHEET.index(b"PK\x01\x02") + 8] |= 1
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("[Content_Types].xml", b"<a/>")
        archive.writestr("xl/workbook.xml", b"<a/>")
    crowded = archive_of(**{"[Content_Types].xml": b"<a/>"}, **{f"xl__{n}": b"" for n in range(limits.MOST_MEMBERS)})

    assert "protected by a password" in refused(bytes(locked))
    assert "compression" in refused(packed.getvalue())
    assert "more than 1,000 parts" in refused(crowded)


LAUGHS = b'<!DOCTYPE x [<!ENTITY a0 "ha">%s]>' % b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12)
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", [SHEET_XML, "xl/workbook.xml", "xl/styles.xml", "_rels/.rels", "xl/sharedStrings.xml"])
def test_it_refuses_a_billion_laughs(name: str, encoding: str) -> None:
    part = LAUGHS + b"<sst %s><si><t>&a11;</t></si></sst>" % NAMESPACE
    laughing = with_part(with_strings(SHEET, b"<sst/>"), name, part.decode().encode(encoding))

    with at_most(5):
        assert "document type (DOCTYPE)" in refused(laughing)


def test_it_reads_no_file_that_a_sheet_names() -> None:
    part = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><worksheet>&e;</worksheet>'

    assert "DOCTYPE" in refused(with_part(SHEET, SHEET_XML, part))


@pytest.mark.parametrize(
    "part",
    [
        b"<c/>" * 300_000,
        b"<mergeCells>" + b'<mergeCell ref="A1:A2"/>' * 300_000,
        b"<row>" + b"<c/>" * 300_000,
        b"<a>" * 300_000,
        b"<row><c><v>" + b"1" * (30 * MEGABYTE),
        b"<row><c><v><![CDATA[" + b"<" * (30 * MEGABYTE),
        b'<row r="' + b"1" * (30 * MEGABYTE),
    ],
    ids=["cells", "merged cells", "one row", "depth", "text", "CDATA", "attribute"],
)
def test_it_holds_nothing_of_a_hostile_sheet(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_RATIO", 2_000)
    hostile = with_part(SHEET, SHEET_XML, b"<worksheet %s><sheetData>%s" % (NAMESPACE, part))

    with at_most(4), pytest.raises(UnusableSheet):
        survey(io.BytesIO(hostile), filename="rates.xlsx")


def test_it_refuses_more_elements_than_prices_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup, "MOST_ELEMENTS", 10_000)

    assert "far more cells" in refused(
        with_part(SHEET, SHEET_XML, b"<worksheet><sheetData><row>%s</row></sheetData></worksheet>" % (b"<c/>" * 10_000))
    )


def test_it_refuses_strings_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_RATIO", 2_000)
    strings = b"<sst>" + b"<si/>" * (limits.MOST_SHARED_STRINGS + 1) + b"</sst>"

    assert "far more text" in refused(with_strings(SHEET, strings))


def test_it_refuses_rows_that_no_spreadsheet_can_number() -> None:
    part = b'<worksheet %s><sheetData><row r="99999999999"><c><v>1</v></c></row></sheetData></worksheet>' % NAMESPACE

    assert "beyond line 1,048,576" in refused(with_part(SHEET, SHEET_XML, part))


@pytest.mark.parametrize("position", range(0, 2_000, 97))
def test_it_refuses_or_reads_a_workbook_with_a_broken_byte(position: int) -> None:
    broken = bytearray(SHEET)
    broken[position * len(SHEET) // 2_000] ^= 0xFF
    try:
        survey(io.BytesIO(bytes(broken)), filename="rates.xlsx")
    except UnusableSheet as refusal:
        assert str(refusal).endswith((".", ")"))


def test_it_holds_little_of_a_long_sheet() -> None:
    stream = io.BytesIO(b"Prefix,Price\n" + b"".join(b"%d,0.07\n" % number for number in range(200_000, 250_000)))
    column_map = survey(stream, filename="rates.csv").column_map
    assert stream.seek(0, os.SEEK_END) > 600_000

    with at_most(20):
        lines = read_lines(stream, filename="rates.csv", column_map=column_map, defaults=DEFAULTS)
        assert sum(1 for _ in lines) == 50_000


def test_it_counts_empty_lines_before_they_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MOST_SHEET_ROWS", 1_000)
    sheet = b"Prefix,Price\n+44,0.01\n"
    assert len(read(sheet + b"\n" * 900)) == 1
    with pytest.raises(UnusableSheet, match="more than 1,000 lines, most of them empty"):
        read(sheet + b"\n" * 1_000)
