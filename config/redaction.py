"""What error reports and log lines may show: names that look secret are masked, local variables are left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from operators.secrets import MASK, Secret

SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|credential|authorization|api|auth(?!or)|key|signature|cookie|session|csrf|client[-_]?cert|dsn|_url$",
    re.IGNORECASE,
)


def redact(value: Any, name: str = "") -> Any:
    """Return a copy in which every Secret and everything under a name that looks secret is masked, at any depth."""
    if isinstance(value, Secret) or (name and SECRET_NAME.search(name)):
        return MASK
    if isinstance(value, Mapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) for item in value]
    return value


class SecretReporterFilter(SafeExceptionReporterFilter):
    """Keep form values, headers that carry credentials and all local variables out of Django's error reports."""

    cleansed_substitute = MASK
    hidden_settings = SECRET_NAME

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        return MASK if isinstance(value, Secret) else super().cleanse_setting(key, value)

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        return {} if request is None else dict.fromkeys(request.POST, MASK)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> list[tuple[str, Any]]:
        # A value may sit in any variable of any frame, under any name: none is shown.
        return []
