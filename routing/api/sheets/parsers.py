"""Take a file from a request: as the one file of a form, or as the whole body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, MemoryFileUploadHandler
from django.http import QueryDict
from rest_framework.exceptions import APIException
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request

from operators.errors import FieldProblem, InvalidPayload
from routing.ratesheets.limits import MOST_BYTES
from routing.ratesheets.lines import ColumnMap

FORM: Final = "multipart/form-data"
CSV: Final = "text/csv"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# What a form has around its file.
FRAMING: Final = 64 * 1024


class SheetTooLarge(APIException):
    status_code = 413
    default_code = "PAYLOAD_TOO_LARGE"
    default_detail = f"A rate sheet may have at most {MOST_BYTES // 1024**2} MB."


@dataclass(frozen=True)
class SentSheet:
    """A file as it was sent; the name is empty where only a parameter could tell it."""

    content: bytes
    filename: str = ""
    column_map: ColumnMap | None = None


class InMemory(MemoryFileUploadHandler):
    """Keep the file in memory whatever its size: the limit is ours, and the root file system is read-only."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True


class FormParser(MultiPartParser):
    """Read a form of one file and, if need be, the column map as JSON."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        request: Request = (parser_context or {})["request"]
        handler: FileUploadHandler = InMemory(request._request)
        request._request.upload_handlers = [handler]
        form = super().parse(stream, media_type, parser_context)
        return _sheet_of(form.data, form.files)


class RawParser(BaseParser):
    """Read a body that is the file."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        content = bytes(stream.read(MOST_BYTES + 1))
        if len(content) > MOST_BYTES:
            raise SheetTooLarge
        return SentSheet(content)


class CsvParser(RawParser):
    media_type = CSV


class XlsxParser(RawParser):
    media_type = XLSX


def refuse_large(request: Request) -> None:
    """Look at what the body's length is said to be, so that nothing of a large one is read."""
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        length = 0
    if length > MOST_BYTES + FRAMING:
        raise SheetTooLarge


def read_column_map(text: str) -> ColumnMap:
    """Read a map as JSON; raises InvalidPayload."""
    try:
        return ColumnMap.from_dict(json.loads(text))
    except RecursionError:
        message = "This is nested too deeply."
    except json.JSONDecodeError as error:
        message = f"This is not JSON: see line {error.lineno}, column {error.colno}."
    except ValueError as error:
        message = str(error)
    raise InvalidPayload([FieldProblem("columnMap", message)])


def _sheet_of(fields: QueryDict, files: Any) -> SentSheet:
    problems = [
        FieldProblem(name[:64], "There is no such field.") for name in {*fields, *files} - {"file", "columnMap"}
    ]
    found = _file_of(files)
    if found is None:
        problems.append(FieldProblem("file", "Send one file under this name."))
    maps = fields.getlist("columnMap")
    if len(maps) > 1 or "columnMap" in files:
        problems.append(FieldProblem("columnMap", "Send one map under this name, as text."))
    if problems or found is None:
        raise InvalidPayload(problems)
    size = found.size or 0
    if size > MOST_BYTES:
        raise SheetTooLarge
    return SentSheet(found.read(), found.name or "", read_column_map(maps[0]) if maps else None)


def _file_of(files: Any) -> UploadedFile[bytes] | None:
    found: list[UploadedFile[bytes]] = files.getlist("file")
    return found[0] if len(found) == 1 else None
