"""Write down in the audit trail what becomes of staff accounts and groups, and who logs in.

Django's own models are changed by its pages, by commands and by libraries alike, so this listens to their signals; who
did it is the user of the request under way, or whoever runs the command.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Group, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from config.env import process_name
from operators.actors import Actor, Source, command_actor
from operators.audit import Changes, record_about
from operators.models import AuditAction, AuditObject
from operators.wire import JSONValue

TOLD: Final = {
    User: {
        "username": "username",
        "first_name": "firstName",
        "last_name": "lastName",
        "email": "email",
        "is_active": "isActive",
        "is_staff": "isStaff",
        "is_superuser": "isSuperuser",
        # Its hash is compared, never told.
        "password": "password",
    },
    Group: {"name": "name"},
}
# Whose links to what are told under which name.
LINKS: Final = {
    User.groups.through: "groups",
    User.user_permissions.through: "permissions",
    Group.permissions.through: "permissions",
}
UNKNOWN: Final = "unknown"

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


class StaffTrailMiddleware:
    """Remember the request while it lasts, so that a signal can tell who is behind it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = _request.set(request)
        try:
            return self.get_response(request)
        finally:
            _request.reset(token)


def _actor() -> Actor:
    request = _request.get()
    if request is None:
        return command_actor(process_name())
    user = getattr(request, "user", None)
    return Actor(user.get_username() or UNKNOWN if user else UNKNOWN, Source.CONSOLE)


def _record(row: Model, action: AuditAction, changes: Changes, *, actor: Actor | None = None, reason: str = "") -> None:
    record_about(
        AuditObject.GROUP if isinstance(row, Group) else AuditObject.USER,
        # The name that people know; ids say nothing after a deletion.
        str(row),
        actor=actor or _actor(),
        action=action,
        changes=changes,
        reason=reason,
        at=timezone.now(),
    )


def _shown(name: str, value: object) -> JSONValue:
    if name == "password":
        return "set" if value else ""
    return value if isinstance(value, bool) else str(value)


@receiver(pre_save, sender=User)
@receiver(pre_save, sender=Group)
def compare(sender: type[Model], instance: Any, update_fields: Any, raw: bool, **_: Any) -> None:
    """Keep what a row said, where one of the fields that are told may change; a log-in's own date is none of them."""
    told = TOLD[sender].keys() & set(update_fields) if update_fields is not None else TOLD[sender].keys()
    stored = sender._default_manager.filter(pk=instance.pk).values(*told).first() if told and instance.pk else None
    instance._audited_before = stored


@receiver(post_save, sender=User)
@receiver(post_save, sender=Group)
def record_save(sender: type[Model], instance: Any, created: bool, **_: Any) -> None:
    names, before = TOLD[sender], instance.__dict__.pop("_audited_before", None)
    if created:
        values = {name: getattr(instance, name) for name in names}
        changes = {names[name]: (None, _shown(name, value)) for name, value in values.items() if value}
        _record(instance, AuditAction.CREATE, changes)
        return
    changed = {name: old for name, old in (before or {}).items() if old != getattr(instance, name)}
    if changed:
        pairs = {
            names[name]: (_shown(name, old), _shown(name, getattr(instance, name))) for name, old in changed.items()
        }
        if "password" in changed:
            pairs["password"] = ("set", "set anew")
        _record(instance, AuditAction.UPDATE, pairs)


@receiver(post_delete, sender=User)
@receiver(post_delete, sender=Group)
def record_deletion(instance: Model, **_: Any) -> None:
    _record(instance, AuditAction.DELETE, {})


def record_links(sender: type[Model], instance: Any, action: str, reverse: bool, pk_set: Any, **_: Any) -> None:
    """Tell which groups or permissions were given or taken, from whichever side somebody did it."""
    if action not in {"post_add", "post_remove", "pre_clear"}:
        return
    field = next(
        field
        for model in (User, Group)
        for field in model._meta.local_many_to_many
        if field.remote_field.through is sender
    )
    owner, other = field.model, field.related_model
    if action == "pre_clear":
        manager = getattr(instance, field.remote_field.get_accessor_name() or "" if reverse else field.name)
        pk_set = set(manager.values_list("pk", flat=True))
    owners = list(owner._default_manager.filter(pk__in=pk_set)) if reverse else [instance]
    given = [instance] if reverse else list(other._default_manager.filter(pk__in=pk_set))
    names: list[JSONValue] = [*sorted(str(each) for each in given)]
    for row in owners if names else ():
        pair: tuple[JSONValue, JSONValue] = ([], names) if action == "post_add" else (names, [])
        _record(row, AuditAction.UPDATE, {LINKS[sender]: pair})


for _through in LINKS:
    m2m_changed.connect(record_links, sender=_through)


@receiver(user_logged_in)
def record_login(user: AbstractBaseUser, **_: Any) -> None:
    _record(user, AuditAction.LOG_IN, {}, actor=Actor(user.get_username(), Source.CONSOLE))


@receiver(user_logged_out)
def record_logout(user: AbstractBaseUser | None, **_: Any) -> None:
    if user is not None:
        _record(user, AuditAction.LOG_OUT, {}, actor=Actor(user.get_username(), Source.CONSOLE))


@receiver(user_login_failed)
def record_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Tell of a wrong password for a name that exists; what else is typed there may be a password itself.

    Whoever is locked out already adds nothing, or guessing could fill the trail.
    """
    if getattr(request, "axes_locked_out", False):
        return
    user = get_user_model().objects.filter(username=str(credentials.get("username", ""))[:150]).first()
    actor = Actor(UNKNOWN, Source.CONSOLE)
    if user is not None:
        _record(user, AuditAction.LOGIN_FAILED, {}, actor=actor)
    else:
        record_about(
            AuditObject.USER,
            UNKNOWN,
            actor=actor,
            action=AuditAction.LOGIN_FAILED,
            changes={},
            at=timezone.now(),
        )
