"""The trail of who was given which password."""

from __future__ import annotations

import uuid

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from operators.audit import record_credential_read
from operators.models import CredentialRead
from operators.tracing import span

pytestmark = pytest.mark.django_db(transaction=True)

IDENTITY = "spiffe://ops.local/ns/sms/sa/smpp-connector"


def test_it_writes_one_row_with_the_trace_it_is_part_of() -> None:
    operator_id, at = uuid.uuid4(), timezone.now()

    with span("ops.internal.getCredentials") as opened:
        record_credential_read(
            operator_id=operator_id,
            credential_version=3,
            caller="smpp-connector",
            identity=IDENTITY,
            result="ok",
            at=at,
        )

    read = CredentialRead.objects.get()
    assert (read.operator_id, read.credential_version, read.at) == (operator_id, 3, at)
    assert (read.caller, read.identity, read.result) == ("smpp-connector", IDENTITY, "ok")
    assert read.trace_id == format(opened.get_span_context().trace_id, "032x")


def test_it_keeps_what_was_asked_of_an_operator_that_never_was() -> None:
    record_credential_read(
        operator_id=uuid.uuid4(),
        credential_version=None,
        caller="smpp-connector",
        identity=IDENTITY,
        result="not_found",
        at=timezone.now(),
    )

    assert CredentialRead.objects.get().credential_version is None


def test_it_raises_where_the_row_cannot_be_written() -> None:
    with pytest.raises(DatabaseError):
        record_credential_read(
            operator_id=uuid.uuid4(),
            credential_version=1,
            caller="c" * 65,
            identity=IDENTITY,
            result="ok",
            at=timezone.now(),
        )


def test_it_refuses_to_be_undone_with_the_transaction_around_it() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        record_credential_read(
            operator_id=uuid.uuid4(),
            credential_version=1,
            caller="smpp-connector",
            identity=IDENTITY,
            result="ok",
            at=timezone.now(),
        )
    assert not CredentialRead.objects.exists()
