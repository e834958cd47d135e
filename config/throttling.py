"""How often one caller of the admin API, and one member of staff, may call and upload."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from operators.ratelimits import TokenBuckets, retry_after

if TYPE_CHECKING:
    # REST framework imports this module while it loads its views.
    from rest_framework.views import APIView

ADMIN_API: Final = "/v1/admin/"
TOO_MANY_UPLOADS: Final = "You upload more often than the service can read. Wait {} seconds and try again."


@cache
def calls() -> TokenBuckets:
    return TokenBuckets(per_second=settings.ADMIN_API_PER_SECOND, burst=settings.ADMIN_API_BURST)


@cache
def uploads() -> TokenBuckets:
    """A rate sheet of the largest size keeps a worker busy for seconds."""
    return TokenBuckets(per_second=settings.UPLOADS_PER_MINUTE / 60, burst=settings.UPLOADS_BURST)


class CallerThrottle(BaseThrottle):
    """Count the calls of each token's subject, and its uploads besides; only a valid token gets so far."""

    _wait = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not request.path.startswith(ADMIN_API):
            return True  # the services on the internal API have limits of their own
        caller = str(request.user)
        self._wait = calls().take(caller)
        if not self._wait and request.method == "POST" and getattr(view, "takes_files", False):
            self._wait = uploads().take(caller)
        return not self._wait

    def wait(self) -> float:
        return self._wait


def refuse_upload(request: HttpRequest) -> HttpResponse | None:
    """Count an upload in the console; return the answer to one too many."""
    if request.method != "POST" or request.content_type != "multipart/form-data":
        return None
    if isinstance(request.user, AnonymousUser):
        return None  # sent to the log-in
    wait = uploads().take(f"staff:{request.user.get_username()}")
    if not wait:
        return None
    seconds = retry_after(wait)
    headers = {"Retry-After": str(seconds)}
    message = TOO_MANY_UPLOADS.format(seconds)
    if request.headers.get("Accept") == "application/json":
        return JsonResponse({"errors": {"file": [message]}}, status=429, headers=headers)
    return HttpResponse(render_to_string("429.html", {"message": message}), status=429, headers=headers)
