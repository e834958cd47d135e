"""The console's page about who was given which password."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from config.groups import GROUPS
from operators.models import CredentialRead, Operator
from tests.factories import PASSWORD, make_operator
from tests.operators.console import member_of

pytestmark = pytest.mark.django_db

READS = "/admin/operators/credentialread/"
IDENTITY = "spiffe://ops.local/ns/sms/sa/smpp-connector"


def read(operator_id: uuid.UUID, *, caller: str = "smpp-connector", result: str = "ok") -> None:
    # As record_credential_read writes it, which no transaction may surround.
    CredentialRead.objects.create(
        operator_id=operator_id,
        credential_version=1,
        caller=caller,
        identity=IDENTITY,
        result=result,
        at=timezone.now(),
    )


@pytest.fixture
def operator() -> Operator:
    """Comium, read three times, and a stranger's id, read once."""
    operator = make_operator(name="Comium")
    for result in ("ok", "ok", "vault_error"):
        read(operator.pk, result=result)
    read(uuid.uuid4(), caller="routing-engine", result="not_found")
    return operator


@pytest.mark.parametrize("group", GROUPS)
def test_it_shows_reads_to_those_who_look_after_secrets(group: str, operator: Operator) -> None:
    client = member_of(group)
    may = group in {"Security officer", "Administrator"}

    answers = [client.get(READS), client.get(f"{READS}{CredentialRead.objects.order_by('id')[0].pk}/change/")]

    assert [answer.status_code for answer in answers] == ([200, 200] if may else [403, 403])
    if may:
        for html in (answer.content.decode() for answer in answers):
            assert "Comium" in html and IDENTITY in html and PASSWORD not in html


def test_it_lets_nobody_write_them(staff_client: Client, operator: Operator) -> None:
    row = f"{READS}{CredentialRead.objects.order_by('id')[0].pk}/"

    assert staff_client.get(f"{READS}add/").status_code == 403
    assert staff_client.post(f"{row}change/", {"caller": "nobody"}).status_code == 403
    assert staff_client.post(f"{row}delete/", {"post": "yes"}).status_code == 403
    assert staff_client.post(READS, {"action": "delete_selected", "_selected_action": "1"}).status_code in {200, 302}
    assert CredentialRead.objects.count() == 4


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 4),
        ("caller=routing-engine", 1),
        ("caller=nobody", 0),
        ("result__exact=vault_error", 1),
        ("q=comi", 3),
        ("q=nobody", 0),
        ("q={id}", 3),
        ("operator_id__exact={id}", 3),
    ],
)
def test_it_filters_reads(staff_client: Client, operator: Operator, query: str, count: int) -> None:
    response = staff_client.get(f"{READS}?{query.format(id=operator.pk)}")

    assert len(response.context["cl"].result_list) == count


def test_it_costs_the_same_whatever_the_number_of_reads(
    staff_client: Client, operator: Operator, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(40):
        read(operator.pk)

    with django_assert_max_num_queries(6) as queries:
        assert staff_client.get(READS).status_code == 200

    counts = [query["sql"] for query in queries.captured_queries if "COUNT(" in query["sql"].upper()]
    assert all("LIMIT 10000" in sql for sql in counts)
