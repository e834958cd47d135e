"""How an uploaded sheet comes in: into memory up to the limit, and not a byte further."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, NoReturn

from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest

from routing.ratesheets.limits import MOST_BYTES

# The form's other fields, and what separates the parts.
ROOM: Final = 64 * 1024
# A browser that is still sending shows no answer. So much is read on and thrown away that a file which is a little too
# large gets its message; of a larger one nothing is read, and the connection ends.
MOST_DRAINED: Final = 4 * MOST_BYTES


class SheetIntake(FileUploadHandler):
    """Hold one file; the fields before it in the form are kept also when it is refused.

    Django's own handlers write to disk whatever comes, before any view can ask how much it is.
    """

    is_too_large = False

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self._announced = 0
        self._content = BytesIO()

    def handle_raw_input(
        self, input_data: Any, meta: dict[str, str], content_length: int, boundary: Any, encoding: str | None = None
    ) -> None:
        self._announced = content_length

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._content = BytesIO()
        if self._announced > MOST_BYTES + ROOM:
            self._stop()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > MOST_BYTES:
            self._stop()
        self._content.write(raw_data)

    def file_complete(self, file_size: int) -> InMemoryUploadedFile:
        self._content.seek(0)
        return InMemoryUploadedFile(
            self._content, self.field_name, self.file_name or "", self.content_type, file_size, self.charset
        )

    def _stop(self) -> NoReturn:
        self.is_too_large = True
        raise StopUpload(connection_reset=self._announced > MOST_DRAINED)
