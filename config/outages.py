"""What a caller gets when PostgreSQL or Vault is away: 503 and when to come back, as a page or as problem+json."""

from __future__ import annotations

import sys
from typing import Final

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from config import problems
from operators.errors import VaultUnavailable

RETRY_AFTER: Final = 5  # seconds


def is_outage(error: BaseException | None) -> bool:
    """Tell a store that is away from a fault of ours."""
    return isinstance(error, (OperationalError, InterfaceError, VaultUnavailable))


def reason(error: BaseException) -> str:
    """Say what is away; of PostgreSQL only the SQLSTATE, for its text may quote a statement's values."""
    if isinstance(error, VaultUnavailable):
        return f"Vault: {error}"
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return f"PostgreSQL: SQLSTATE {sqlstate}" if sqlstate else "PostgreSQL: no connection"


def respond(request: HttpRequest, error: BaseException) -> HttpResponse:
    """Answer 503 with Retry-After; called once for each failed request, for it counts the error."""
    session = getattr(request, "session", None)
    if session is not None:
        # SessionMiddleware would try to store it on the way out, and fail again.
        session.modified = False
    if problems.is_api(request) and isinstance(error, Exception):
        answer = problems.from_exception(error, request)
        assert answer is not None
        return answer
    wait = RETRY_AFTER
    if isinstance(error, VaultUnavailable):
        detail, wait = str(error), error.retry_after or RETRY_AFTER
    else:
        detail = "The database does not answer."
        problems.count_database_error(error, request)
    # Plain rendering: context processors ask for the session and the user, which lie in the database.
    page = render_to_string("503.html", {"detail": detail})
    return HttpResponse(page, status=503, headers={"Retry-After": str(wait)})


def server_error(request: HttpRequest) -> HttpResponse:
    """Serve as handler500: errors of middleware come only here, and Django calls it while it handles the exception."""
    error = sys.exception()
    return respond(request, error) if error is not None and is_outage(error) else problems.server_error(request)
