"""Every error of the API as RFC 9457 problem+json, whoever noticed it: the view, the framework or Django itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.template.loader import render_to_string
from django.urls import get_urlconf
from django.views import defaults
from rest_framework import exceptions
from rest_framework.request import Request

from operators import metrics, tracing
from operators.errors import DuplicateOperator, FieldProblem, InvalidPayload, OperatorError

API_PREFIX: Final = "/v1/"
INTERNAL_URLCONF: Final = "config.internal_urls"
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_DATABASE: Final = 5  # seconds

TITLES: Final[dict[str, str]] = {
    "INVALID_PAYLOAD": "The request breaks a rule",
    "UNAUTHENTICATED": "The caller is not known",
    "FORBIDDEN": "The caller may not do this",
    "NOT_FOUND": "There is nothing here",
    "METHOD_NOT_ALLOWED": "This address does not take this method",
    "NOT_ACCEPTABLE": "The answer exists as JSON only",
    "DUPLICATE_OPERATOR": "Another operator already has these values",
    "INVALID_STATUS_TRANSITION": "The operator cannot make this move now",
    "ROUTING_RULE_CONFLICT": "The rule meets other rules of its operator",
    "DUPLICATE_PREFIX": "This prefix has a row already",
    "RATE_CHANGE_UNCONFIRMED": "Prices change so much that somebody has to confirm it",
    "RATE_SHEET_TOUCHED": "What the rate sheet did was changed since",
    "PRECONDITION_FAILED": "What was to be changed has changed meanwhile",
    "LENGTH_REQUIRED": "The length of the body must be given",
    "PAYLOAD_TOO_LARGE": "The body is too large",
    "UNSUPPORTED_MEDIA_TYPE": "This address takes no such body",
    "PRECONDITION_REQUIRED": "Say which version you saw",
    "RATE_LIMITED": "Too many requests",
    "INTERNAL_ERROR": "Something went wrong on our side",
    "VAULT_UNAVAILABLE": "The credential store is away",
    "DATABASE_UNAVAILABLE": "The database is away",
    "BROKER_UNAVAILABLE": "The broker is away",
    "IDENTITY_UNAVAILABLE": "Tokens cannot be checked now",
}
CODES: Final[dict[int, str]] = {
    400: "INVALID_PAYLOAD",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    411: "LENGTH_REQUIRED",
    412: "PRECONDITION_FAILED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    428: "PRECONDITION_REQUIRED",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
    503: "DATABASE_UNAVAILABLE",
}


def problem(
    request: HttpRequest | Request,
    *,
    status: int,
    detail: str,
    code: str = "",
    retry_after: int | None = None,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> JsonResponse:
    """Make one problem+json answer; `members` are extension members such as `errors`."""
    code = code or CODES.get(status, HTTPStatus(status).name)
    body: dict[str, object] = {
        "type": f"urn:ops:problem:{code.lower().replace('_', '-')}",
        "title": TITLES.get(code, HTTPStatus(status).phrase),
        "status": status,
        "detail": detail,
        "code": code,
        "instance": request.path,
    }
    body |= members
    if request_id := str(getattr(request, "request_id", "")):
        body["requestId"] = request_id
    if trace_id := tracing.trace_id():
        body["traceId"] = trace_id
    response = JsonResponse(body, status=status, headers={**(headers or {}), "Cache-Control": "no-store"})
    response["Content-Type"] = MEDIA_TYPE
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def from_exception(exc: Exception, request: HttpRequest | Request) -> HttpResponse | None:
    """Answer for an exception that has an answer, and None for a bug; a database that is away is counted here."""
    match exc:
        case InvalidPayload():
            return _invalid(request, exc.problems)
        case DuplicateOperator():
            conflict = {"operatorId": str(exc.existing.pk), "name": exc.existing.name, "fields": list(exc.fields)}
            return problem(request, status=exc.status, code=exc.code, detail=str(exc), conflict=conflict)
        case OperatorError():
            return problem(
                request,
                status=exc.status,
                code=exc.code,
                detail=str(exc),
                retry_after=exc.retry_after,
                **exc.members,
            )
        case exceptions.ValidationError():
            return _invalid(request, tuple(flatten(exc.detail)))
        case exceptions.ParseError():
            return _invalid(request, (FieldProblem("body", str(exc.detail)),))
        case exceptions.APIException():
            return _from_framework(exc, request)
        case OperationalError() | InterfaceError():
            return database_away(exc, request)
        case Http404():
            return problem(request, status=404, detail="There is no such address or thing.")
        case PermissionDenied():
            return problem(request, status=403, detail="You may not do this.")
        case UnreadablePostError():
            return _invalid(request, (FieldProblem("body", "It has to arrive whole, and in time."),))
        case RequestDataTooBig():
            return problem(request, status=413, detail="The body is larger than this service takes.")
        case SuspiciousOperation():
            return problem(request, status=400, detail="The request is malformed.", errors=[])
    return None


def problem_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Serve as REST framework's EXCEPTION_HANDLER."""
    return from_exception(exc, context["request"])


def database_away(exc: DatabaseError, request: HttpRequest | Request) -> JsonResponse:
    """Count a lost, refused or timed-out database call and answer 503."""
    count_database_error(exc, request)
    return problem(
        request,
        status=503,
        code="DATABASE_UNAVAILABLE",
        detail="The database does not answer; try again in a moment.",
        retry_after=RETRY_AFTER_DATABASE,
    )


def count_database_error(exc: BaseException, request: HttpRequest | Request) -> None:
    # Refused or lost connections have no SQLSTATE, or one of class 08, or 57P of a server that shuts down.
    sqlstate = getattr(exc.__cause__, "sqlstate", None) or "08000"
    if sqlstate.startswith(("08", "57P")):
        operation = "connect"
    else:
        operation = "read" if request.method in ("GET", "HEAD", "OPTIONS") else "write"
    metrics.pg_errors.labels(operation).inc()


def flatten(detail: Any, path: str = "") -> Iterator[FieldProblem]:
    """Turn nested errors into a flat list with paths such as `tpsLimit.maxTps` and `contacts[2]`."""
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            if key == "non_field_errors":
                yield from flatten(inner, path)
            elif isinstance(key, int):
                yield from flatten(inner, f"{path}[{key}]")
            else:
                yield from flatten(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(detail, (list, tuple)):
        for inner in detail:
            yield from flatten(inner, path)
    else:
        yield FieldProblem(path or "body", str(detail))


def is_api(request: HttpRequest) -> bool:
    """Tell whether the caller is a program: everybody who calls the internal listener is one."""
    return request.path_info.startswith(API_PREFIX) or (get_urlconf() or settings.ROOT_URLCONF) == INTERNAL_URLCONF


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return from_exception(exception, request) or problem(request, status=400, detail="The request is malformed.")
    if isinstance(exception, RequestDataTooBig):
        return HttpResponse(render_to_string("413.html"), status=413)
    return defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return problem(request, status=403, detail="You may not do this.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        return problem(request, status=404, detail="There is no such address.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if is_api(request):
        return problem(request, status=500, detail="The request failed; nothing about it is known to be done.")
    return defaults.server_error(request)


def _invalid(request: HttpRequest | Request, problems: tuple[FieldProblem, ...]) -> JsonResponse:
    errors = [{"field": entry.field, "message": entry.message} for entry in problems]
    names = ", ".join(dict.fromkeys(entry.field for entry in problems))
    return problem(request, status=400, detail=f"Look at: {names}.", errors=errors)


def _from_framework(exc: exceptions.APIException, request: HttpRequest | Request) -> JsonResponse:
    headers = {}
    if challenge := getattr(exc, "auth_header", ""):
        headers["WWW-Authenticate"] = str(challenge)
    wait = getattr(exc, "wait", None)
    return problem(
        request,
        status=exc.status_code,
        code=str(exc.default_code) if str(exc.default_code).isupper() else "",
        detail=str(exc.detail),
        retry_after=None if wait is None else max(1, int(wait)),
        headers=headers,
    )
