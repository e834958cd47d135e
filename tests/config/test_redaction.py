from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from django.conf import settings
from django.http import HttpRequest
from django.test import RequestFactory
from django.views.debug import get_exception_reporter_filter

from config.redaction import SECRET_NAME, SecretReporter, SecretReporterFilter, redact
from operators.secrets import MASK, Secret

# Spelt backwards, for reports also quote the lines of source around the fault.
CANARY = "7kZ-yranac"[::-1]


def report(request: HttpRequest, failing: Callable[[], object]) -> str:
    """Make the fullest report that Django knows, as HTML and as text."""
    try:
        failing()
    except Exception:
        reporter = SecretReporter(request, *sys.exc_info())
        return str(reporter.get_traceback_html() + reporter.get_traceback_text())
    raise AssertionError("it did not fail")


def request() -> HttpRequest:
    return RequestFactory().post("/admin/", {"host": "smpp.example", "password": CANARY, "note": CANARY})


def fail() -> None:
    raise LookupError


def test_it_is_the_filter_of_every_report() -> None:
    assert f"{SecretReporter.__module__}.{SecretReporter.__name__}" == settings.DEFAULT_EXCEPTION_REPORTER
    assert isinstance(get_exception_reporter_filter(None), SecretReporterFilter)


def test_it_shows_no_local_variable_whatever_its_name() -> None:
    def inner(value: str) -> None:
        payload = {"anything": value}
        raise ValueError(len(payload))

    def outer() -> None:
        harmless = CANARY
        inner(harmless)

    text = report(request(), outer)
    assert "inner" in text and "ValueError" in text
    assert CANARY not in text


def test_it_shows_form_fields_by_name_alone() -> None:
    text = report(request(), fail)
    assert "note" in text
    assert CANARY not in text


@pytest.mark.parametrize(
    "header",
    [
        "HTTP_AUTHORIZATION",
        "HTTP_X_VAULT_TOKEN",
        "HTTP_X_FORWARDED_CLIENT_CERT",
        "HTTP_COOKIE",
        "HTTP_X_API_KEY",
        "HTTP_REFERER",
        "QUERY_STRING",
    ],
)
def test_it_hides_headers_that_carry_credentials(header: str) -> None:
    asked = request()
    asked.META[header] = f"q={CANARY}"
    assert CANARY not in report(asked, fail)


def test_it_hides_cookies() -> None:
    asked = request()
    asked.COOKIES = {"sessionid": CANARY, "csrftoken": CANARY}
    assert CANARY not in report(asked, fail)


def test_it_hides_the_settings_accounts() -> None:
    shown = SecretReporterFilter().get_safe_settings()
    for name in ("SECRET_KEY", "NATS_URL", "VAULT_TOKENS"):
        assert shown[name] == MASK
    assert shown["DATABASES"]["default"]["PASSWORD"] == MASK
    text = report(request(), fail)
    for secret in (settings.SECRET_KEY, settings.NATS_URL, str(settings.DATABASES["default"]["PASSWORD"])):
        assert len(secret) > 8
        assert secret not in text


def test_it_masks_a_secret_wherever_it_stands() -> None:
    assert redact({"a": [Secret(CANARY)], "b": {"c": (Secret(CANARY), 1)}}) == {"a": [MASK], "b": {"c": [MASK, 1]}}
    assert SecretReporterFilter().cleanse_setting("ANYTHING", Secret(CANARY)) == MASK


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "smppPassword",
        "new_passwd",
        "PWD",
        "client_secret",
        "id_token",
        "Authorization",
        "Set-Cookie",
        "X-Forwarded-Client-Cert",
        "apiKey",
        "private-key",
        "credentials",
        "smtp_pass",
        "csrfmiddlewaretoken",
    ],
)
def test_it_knows_names_that_mean_a_secret(name: str) -> None:
    assert SECRET_NAME.search(name)


@pytest.mark.parametrize(
    "name",
    ["credentialVersion", "credentialRotatedAt", "version", "action", "passed", "bypass", "key", "author", "adminId"],
)
def test_it_lets_harmless_names_through(name: str) -> None:
    assert not SECRET_NAME.search(name)
