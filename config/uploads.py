"""Files come in only where a page asks for them."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler


class NoFile(FileUploadHandler):
    """Refuse a request with a file in it; a page that takes files brings a handler of its own.

    Django's own handlers write whatever comes to disk, before anybody has asked who sends it: the log-in's check of its
    form token is enough.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RequestDataTooBig("This address takes no files.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
