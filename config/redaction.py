"""What log lines and error reports may show: secrets are masked by name, by type and by form; local variables never."""

from __future__ import annotations

import math
import re
from collections.abc import ItemsView, Mapping
from functools import lru_cache
from types import FrameType
from typing import Any, Final

from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from operators.secrets import MASK, Secret

SECRET_NAME: Final = re.compile(
    r"passw|passphrase|pwd|secret|token|authori[sz]ation|cookie|signature|csrf|sessionid|session[-_]?key"
    r"|(?:api|private|signing|unseal)[-_]?key|client[-_]?cert|credentials?$|(?:^|[-_])pass(?:$|[-_])",
    re.IGNORECASE,
)
# Error reports also show settings and request headers: addresses with accounts in them, and queries.
REPORTED_NAME: Final = re.compile(
    f"{SECRET_NAME.pattern}|API|AUTH|KEY|_URL$|_DSN$|QUERY_STRING|REQUEST_URI|RAW_URI|REFERER", re.IGNORECASE
)
# What gives itself away by its form, wherever it stands in a text.
SECRET_FORMS: Final = (
    (re.compile(r"(://[^/\s:@]*):[^/\s]+@"), rf"\1:{MASK}@"),  # scheme://user:password@host
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), MASK),  # JWT
    (re.compile(r"\b(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{24,}"), MASK),  # Vault and OpenBao tokens
)


# What every one of these forms has in it: most texts have none of it, and are looked at once.
MAY_BE_SECRET: Final = re.compile(r"://[^/\s:@]*:|eyJ|[sbr]\.[A-Za-z0-9_-]{24}")


def redact(value: Any, name: str = "") -> Any:
    """Return a copy fit for JSON in which secrets are masked at any depth."""
    if isinstance(value, Secret) or (name and is_secret_name(name)):
        return MASK
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {str(key): redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) for item in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return redact_text(str(value))


@lru_cache(maxsize=1024)  # log lines have the same few names
def is_secret_name(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def redact_text(text: str) -> str:
    if not MAY_BE_SECRET.search(text):
        return text
    for form, replacement in SECRET_FORMS:
        text = form.sub(replacement, text)
    return text


class SecretReporterFilter(SafeExceptionReporterFilter):
    """Keep form values, headers with credentials and every local variable out of Django's error reports."""

    cleansed_substitute = MASK
    hidden_settings = REPORTED_NAME

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        cleansed = super().cleanse_setting(key, value)
        if isinstance(cleansed, Secret):
            return MASK
        return redact_text(cleansed) if isinstance(cleansed, str) else cleansed

    def get_safe_cookies(self, request: HttpRequest | None) -> dict[str, Any]:
        return {} if request is None else dict.fromkeys(request.COOKIES, MASK)

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        return {} if request is None else dict.fromkeys(request.POST, MASK)

    def get_traceback_frame_variables(
        self,
        request: HttpRequest | None,
        tb_frame: FrameType,
    ) -> ItemsView[str, Any]:
        # A password may sit in any variable of any frame under any name, so that picking some is guessing.
        shown: dict[str, Any] = {}
        return shown.items()


class SecretReporter(ExceptionReporter):
    """Keep the query out too, which Django's filter is not asked about."""

    def get_traceback_data(self) -> dict[str, Any]:
        data: dict[str, Any] = super().get_traceback_data()
        if self.request is not None:
            data["request_GET_items"] = [(name, MASK) for name in self.request.GET]
            data["request_insecure_uri"] = self.request.path
        return data
