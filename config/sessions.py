"""How long a log-in lasts: hours from its start, less when nobody uses it, and not beyond a change of rights."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

BEGAN: Final = "began"
USED: Final = "used"
# Writing down each use would be a write for every page.
RESOLUTION: Final = 60  # seconds
CONSOLE: Final = "/admin/"


class SessionLimitsMiddleware:
    """End a session SESSION_COOKIE_AGE after its log-in and SESSION_IDLE after its last use.

    Django counts only from the last change. What a page's script asks for by itself is no use: the health board
    refreshes for ever.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(CONSOLE) and settings.SESSION_COOKIE_NAME in request.COOKIES:
            self._limit(request)
        return self.get_response(request)

    def _limit(self, request: HttpRequest) -> None:
        session = request.session
        if SESSION_KEY not in session:
            return
        now = time.time()
        began, used = session.get(BEGAN, 0), session.get(USED, 0)
        if now - began >= settings.SESSION_COOKIE_AGE or now - used >= settings.SESSION_IDLE:
            session.flush()
        elif now - used >= RESOLUTION and request.headers.get("Sec-Fetch-Dest") != "empty":
            session[USED] = now


@receiver(user_logged_in)
def begin(request: HttpRequest, **_: Any) -> None:
    request.session[BEGAN] = request.session[USED] = time.time()


def end_sessions(user_id: int) -> int:
    """End every session of one user and return how many there were.

    A session tells whose it is only inside; there are as many as staff that are logged in.
    """
    mine = [
        session.pk
        for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator()
        if session.get_decoded().get(SESSION_KEY) == str(user_id)
    ]
    count, _ = Session.objects.filter(pk__in=mine).delete()
    return count
