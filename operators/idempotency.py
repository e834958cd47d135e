"""Idempotency-Key: a creation that is asked for twice happens once, also when the first try died in the middle."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from django.utils.crypto import salted_hmac

from operators.actors import Actor
from operators.credentials import CredentialChangeUnderWay
from operators.errors import CreationUnderWay, FieldProblem, InvalidPayload, OperatorError
from operators.models import IdempotencyRecord
from operators.vault import OutcomeUnknown

HEADER: Final = "Idempotency-Key"
KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
# One advisory lock per record; the upper half keeps clear of the other locks of this service.
LOCK_BASE: Final = 0x1DE0_0000_0000_0000

Body = dict[str, Any]
Made = TypeVar("Made")


def read_key(raw: str | None) -> str | None:
    """Check the header's value; None when there is none."""
    if raw is not None and not KEY.fullmatch(raw):
        raise InvalidPayload([FieldProblem(HEADER, "The key has 1 to 255 printable ASCII characters.")])
    return raw


def fingerprint(*, method: str, path: str, body: object) -> str:
    """Digest a request under the service's key: the body holds a password, and a bare hash of it could be guessed."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)
    return salted_hmac(HEADER, f"{method} {path}\n{canonical}", algorithm="sha256").hexdigest()


def create_once(
    *,
    actor: Actor,
    key: str,
    digest: str,
    find: Callable[[UUID], Made | None],
    create: Callable[[UUID], Made],
    represent: Callable[[Made], Body],
) -> tuple[Body, bool]:
    """Return the creation's answer, and whether it is a repeated one.

    What is made has the id that `create` is given, so that `find` can tell whether an earlier try got that far.
    Raises InvalidPayload when the key stands for another body, and CreationUnderWay while another request with it
    works. A refusal frees the key; after an unknown outcome it stays, so that the next try carries on with the same
    thing.
    """
    record = _record(actor, key, digest)
    with _worked_on_alone(record):
        # Another request may have ended since the record was read.
        fresh = IdempotencyRecord.objects.filter(pk=record.pk).first()
        if fresh is None:
            raise CreationUnderWay
        if fresh.response is not None:
            return fresh.response, True
        made = find(fresh.operator_id)
        is_repeated = made is not None
        if made is None:
            made = _create(fresh, create)
        body = represent(made)
        IdempotencyRecord.objects.filter(pk=fresh.pk).update(response=body)
        return body, is_repeated


def _create(record: IdempotencyRecord, create: Callable[[UUID], Made]) -> Made:
    try:
        return create(record.operator_id)
    except CredentialChangeUnderWay:
        # What a request that died has begun; the lease on its attempt runs out within seconds.
        raise CreationUnderWay from None
    except OutcomeUnknown:
        raise
    except OperatorError:
        record.delete()
        raise


def _record(actor: Actor, key: str, digest: str) -> IdempotencyRecord:
    now = timezone.now()
    outdated = now - timedelta(hours=settings.IDEMPOTENCY_HOURS)
    IdempotencyRecord.objects.filter(actor=actor.name, key=key, created_at__lt=outdated).delete()
    record, _ = IdempotencyRecord.objects.get_or_create(
        actor=actor.name, key=key, defaults={"fingerprint": digest, "created_at": now}
    )
    if record.fingerprint != digest:
        raise InvalidPayload([FieldProblem(HEADER, "This key was used for another request.")])
    return record


@contextmanager
def _worked_on_alone(record: IdempotencyRecord) -> Iterator[None]:
    """Hold the record's advisory lock; PostgreSQL frees it when the process or its connection dies.

    A row lock would do the same only inside a transaction, and the work waits for Vault.
    """
    number = LOCK_BASE + record.pk
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        if not cursor.fetchone()[0]:
            raise CreationUnderWay
    try:
        yield
    finally:
        _unlock(number)


def _unlock(number: int) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [number])
    except (OperationalError, InterfaceError):
        # The lock went with the connection. A lock that stayed on a living one would block the key for good.
        connection.close()
