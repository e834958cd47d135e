"""The console's log-in: who guesses passwords is locked out for a while, and learns nothing from it."""

from __future__ import annotations

from typing import Any, Final

import structlog
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db.models import Sum
from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.crypto import salted_hmac

from config.addresses import client_address
from operators import metrics

log = structlog.stdlib.get_logger("config.login")

UNKNOWN: Final = "unknown-"


class LockoutHandler(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """Lock a name at an address after LOGIN_FAILURES failures, and an address after LOGIN_FLOOD, whatever the names.

    A name alone is never locked: anybody could lock out anybody. Two failures at the same moment may both be looked
    at, so that as many guesses more get through as there are threads.
    """

    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        failures = int(super().get_failures(request, credentials))
        return max(failures, settings.AXES_FAILURE_LIMIT) if is_flooding(request.axes_ip_address) else failures

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
        super().user_login_failed(sender, credentials, request, **kwargs)
        result = "locked" if getattr(request, "axes_locked_out", False) else "failed"
        _tell(result, request, name_to_count(request, credentials))

    def user_logged_in(self, sender: Any, request: Any, user: AbstractBaseUser, **kwargs: Any) -> None:
        super().user_logged_in(sender, request, user, **kwargs)
        _tell("ok", request, user.get_username())


class LoginForm(AdminAuthenticationForm):
    """Count the right password of an account that may not enter as a failure, as the answer says it is."""

    def confirm_login_allowed(self, user: Any) -> None:
        try:
            super().confirm_login_allowed(user)
        except ValidationError:
            user_login_failed.send(sender=__name__, credentials={"username": user.get_username()}, request=self.request)
            raise


def is_flooding(address: str | None) -> bool:
    attempts = AccessAttempt.objects.filter(ip_address=address)
    return (attempts.aggregate(count=Sum("failures_since_start"))["count"] or 0) >= settings.LOGIN_FLOOD


def name_to_count(request: Any, credentials: dict[str, Any] | None) -> str:
    """Give a known name as it is and any other as a fingerprint: people type passwords into the wrong field."""
    name = str((credentials or {}).get("username") or "")
    remembered: dict[str, str] = request.__dict__.setdefault("ops_names", {})
    if name not in remembered:
        is_known = get_user_model().objects.filter(username=name).exists()
        remembered[name] = name if is_known else f"{UNKNOWN}{salted_hmac(__name__, name).hexdigest()[:16]}"
    return remembered[name]


def locked_page(request: HttpRequest, _response: HttpResponse, _credentials: dict[str, Any] | None) -> HttpResponse:
    """Answer as long as the lock holds; the password is not looked at, and the page is the same for every name."""
    minutes = settings.LOGIN_COOL_OFF_MINUTES
    page = render_to_string("429.html", {"minutes": minutes})
    return HttpResponse(page, status=429, headers={"Retry-After": str(minutes * 60)})


@receiver(pre_save, sender=AccessAttempt)
def keep_no_form(instance: AccessAttempt, **_: Any) -> None:
    """Store neither query nor form, of which axes masks only what is called password."""
    instance.get_data = instance.post_data = ""


def _tell(result: str, request: Any, name: str) -> None:
    metrics.console_login.labels(result).inc()
    write = log.info if result == "ok" else log.warning
    write(f"login {result}", action="login", adminId=name, address=client_address(request))
