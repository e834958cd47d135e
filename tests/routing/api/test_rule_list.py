"""Lists of rules: pages, filters, order, and what they cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from operators.api import pagination
from operators.models import Operator
from routing.models import RoutingRule
from tests.factories import make_operator
from tests.operators.api.cast import errors, refused
from tests.routing.api.cast import NOTHING, RULES, rules_of

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def stored(operator: Operator, *prefixes: str, **values: Any) -> list[RoutingRule]:
    """Store rules as they lie in the database: lists show rows and ask no guard."""
    usual = {
        "cost_per_segment": Decimal("0.01"),
        "currency": "EUR",
        "created_by": "seed",
        "updated_by": "seed",
        "created_at": NOON,
        "updated_at": NOON,
    }
    return RoutingRule.objects.bulk_create(
        RoutingRule(operator=operator, prefix=prefix, **(usual | values)) for prefix in prefixes
    )


def prefixes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [rule["prefix"] for rule in answer.json()["data"]]


@pytest.fixture
def operator() -> Operator:
    """An operator with a rule of each kind, beside another one with one rule."""
    operator = make_operator()
    stored(operator, "+33", priority=5, cost_per_segment=Decimal("0.03"), updated_at=NOON + timedelta(hours=2))
    stored(operator, "+44", effective_to=NOON)
    stored(operator, "+4479", mcc="234", mnc="10", effective_from=NOON, cost_per_segment=Decimal("0.02"))
    stored(operator, "+447911", active=False, currency="USD", updated_at=NOON + timedelta(hours=1))
    stored(make_operator(), "+49")
    return operator


FILTERS = [
    ("", ["+33", "+44", "+4479", "+447911"]),
    ("prefix=%2B44", ["+44"]),
    ("prefixStarts=%2B447", ["+4479", "+447911"]),
    ("prefixStarts=%2B", ["+33", "+44", "+4479", "+447911"]),
    ("number=%2B447911123456", ["+44", "+4479", "+447911"]),
    ("number=%2B4478", ["+44"]),
    ("mcc=234", ["+4479"]),
    ("mcc=262", []),
    ("mcc=234&mnc=10", ["+4479"]),
    ("mnc=11", []),
    ("currency=USD", ["+447911"]),
    ("active=false", ["+447911"]),
    ("active=true", ["+33", "+44", "+4479"]),
    ("active=", ["+33", "+44", "+4479", "+447911"]),
    ("effectiveAt=2026-06-01T12:00:00Z", ["+33", "+4479"]),
    ("effectiveAt=2026-06-01T13:59:59.999999%2B02:00", ["+33", "+44"]),
    ("effectiveAt=2026-06-02T11:59:00%2B23:59", ["+33", "+4479"]),
    ("ordering=prefix", ["+33", "+44", "+4479", "+447911"]),
    ("ordering=-prefix", ["+447911", "+4479", "+44", "+33"]),
    ("ordering=priority,-prefix", ["+33", "+447911", "+4479", "+44"]),
    ("ordering=-costPerSegment,prefix", ["+33", "+4479", "+44", "+447911"]),
    ("ordering=-updatedAt,prefix", ["+33", "+447911", "+44", "+4479"]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_it_filters_and_orders_an_operators_rules(
    api: APIClient, operator: Operator, query: str, expected: list[str]
) -> None:
    assert prefixes(api.get(f"{rules_of(operator)}?{query}")) == expected


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_it_filters_and_orders_the_same_among_all(
    api: APIClient, operator: Operator, query: str, expected: list[str]
) -> None:
    assert prefixes(api.get(f"{RULES}?operatorId={operator.pk}&{query}")) == expected


def test_it_lists_the_rules_of_all_by_prefix(api: APIClient, operator: Operator) -> None:
    answer = api.get(RULES)
    assert prefixes(answer) == ["+33", "+44", "+4479", "+447911", "+49"]
    assert answer.json()["meta"] == {"total": 5, "page": 1, "limit": 50, "totalIsBounded": False}
    assert prefixes(api.get(f"{RULES}?ordering=-prefix&limit=2")) == ["+49", "+447911"]


@pytest.mark.parametrize("order", ["priority", "-costPerSegment", "updatedAt", "prefix,priority"])
def test_it_orders_all_rules_by_prefix_alone(api: APIClient, operator: Operator, order: str) -> None:
    assert set(errors(api.get(RULES, {"ordering": order}))) == {"ordering"}
    assert set(errors(api.get(RULES, {"ordering": order, "currency": "EUR"}))) == {"ordering"}
    for narrow in ({"operatorId": str(operator.pk)}, {"prefix": "+44"}, {"number": "+4479"}):
        assert api.get(RULES, {"ordering": order, **narrow}).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("prefix=+44", "prefix"),
        ("prefix=0044", "prefix"),
        ("prefixStarts=44", "prefixStarts"),
        ("prefixStarts=%2B0", "prefixStarts"),
        ("prefixStarts=%2B44%25", "prefixStarts"),
        ("number=447911", "number"),
        ("number=%2B1234567890123456", "number"),
        ("number=%2B44%00", "number"),
        ("mcc=23", "mcc"),
        ("mnc=x", "mnc"),
        ("currency=EURO", "currency"),
        ("active=1", "active"),
        ("active=True", "active"),
        ("effectiveAt=2026-06-01", "effectiveAt"),
        ("effectiveAt=2026-06-01T12:00:00", "effectiveAt"),
        ("effectiveAt=2026-06-01T12:00:00+02:00", "effectiveAt"),
        ("ordering=weight", "ordering"),
        ("ordering=cost_per_segment", "ordering"),
        ("prefix__gt=%2B44", "prefix__gt"),
        ("mcc=234&mcc=262", "mcc"),
        ("page=0", "page"),
        ("limit=201", "limit"),
    ],
)
def test_it_refuses_parameters_that_it_does_not_know(
    api: APIClient, operator: Operator, query: str, field: str
) -> None:
    assert set(errors(api.get(f"{RULES}?{query}"))) == {field}
    assert set(errors(api.get(f"{rules_of(operator)}?{query}"))) == {field}


def test_it_takes_an_operator_once(api: APIClient, operator: Operator) -> None:
    assert set(errors(api.get(RULES, {"operatorId": "me"}))) == {"operatorId"}
    assert set(errors(api.get(rules_of(operator), {"operatorId": str(operator.pk)}))) == {"operatorId"}
    assert prefixes(api.get(RULES, {"operatorId": NOTHING})) == []
    refused(api.get(f"/v1/admin/operators/{NOTHING}/routing-rules"), status=404, code="NOT_FOUND")


def test_it_leaves_out_the_rules_of_operators_that_are_gone(api: APIClient, operator: Operator) -> None:
    Operator.objects.filter(pk=operator.pk).update(deleted_at=timezone.now())
    answer = api.get(RULES)
    assert prefixes(answer) == ["+49"]
    assert answer.json()["meta"]["total"] == 1


def test_it_cuts_pages_that_neither_repeat_nor_skip(api: APIClient) -> None:
    operators = [make_operator() for _ in range(4)]
    for each in operators:
        stored(each, "+44", "+441")
    for order in ("", "&ordering=-prefix"):
        pages = [api.get(f"{RULES}?limit=3&page={page}{order}").json()["data"] for page in (1, 2, 3, 4)]
        assert [len(page) for page in pages] == [3, 3, 2, 0]
        assert len({rule["ruleId"] for page in pages for rule in page}) == 8


def test_it_counts_no_further_than_ten_thousand(
    api: APIClient, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pagination.MOST_COUNTED == 10_000
    monkeypatch.setattr(pagination, "MOST_COUNTED", 4)
    assert api.get(rules_of(operator)).json()["meta"] == {"total": 4, "page": 1, "limit": 50, "totalIsBounded": False}

    monkeypatch.setattr(pagination, "MOST_COUNTED", 3)
    answer = api.get(rules_of(operator), {"limit": 1, "page": 4})
    assert answer.json()["meta"] == {"total": 3, "page": 4, "limit": 1, "totalIsBounded": True}
    assert prefixes(answer) == ["+447911"]
    assert prefixes(api.get(rules_of(operator), {"limit": 1, "page": 5})) == []


def test_it_costs_the_same_queries_however_long_the_page(
    api: APIClient, operator: Operator, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (0, 150):
        stored(make_operator(), *(f"+7{number}" for number in range(100, 100 + count)))
        with django_assert_num_queries(2):
            assert len(prefixes(api.get(RULES, {"limit": 200}))) == 5 + count
        with django_assert_num_queries(3):
            assert len(prefixes(api.get(rules_of(operator)))) == 4
