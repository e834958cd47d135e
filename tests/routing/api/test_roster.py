"""GET /v1/internal/operators: pages that never repeat, skip or cut unseen, and cursors that cannot be made up."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from operators.api.serializers import OperatorSerializer
from operators.models import Operator
from routing import roster
from routing.api.roster.schema import LEFT_OUT, LEFT_OUT_OF_RULES
from routing.api.rules.serializers import RuleSerializer
from routing.models import RoutingRule
from tests.config.peers import InternalClient, connector, router
from tests.operators.api.cast import NOBODY, errors, refused
from tests.routing.world import NOON, carrier, rule

pytestmark = pytest.mark.django_db

ALL = "/v1/internal/operators"
Answer = dict[str, Any]


def read(address: str = ALL, **parameters: Any) -> Answer:
    answer = router().get(address, parameters)
    assert answer.status_code == 200, answer.content
    body: Answer = answer.json()
    return body


def read_on(**parameters: Any) -> list[Answer]:
    """Read every page."""
    pages = [read(**parameters)]
    while cursor := pages[-1]["meta"]["nextCursor"]:
        pages.append(read(**parameters, cursor=cursor))
        assert len(pages) < 100
    return pages


def put_together(pages: list[Answer]) -> dict[str, list[str]]:
    """Do as a consumer does: keep each operator's rules, and of one in parts only what its last part completes."""
    held: dict[str, list[str]] = {}
    begun: dict[str, list[str]] = {}
    for operator in (operator for page in pages for operator in page["data"]):
        identity = operator["operatorId"]
        assert identity not in held, "an operator came twice"
        assert ("routingRules" in operator) != ("routingRulesPart" in operator)
        if "routingRules" in operator:
            held[identity] = [each["ruleId"] for each in operator["routingRules"]]
            continue
        part = operator["routingRulesPart"]
        assert (part["number"] == 1) == (identity not in begun)
        begun.setdefault(identity, []).extend(each["ruleId"] for each in part["rules"])
        if part["isLast"]:
            held[identity] = begun.pop(identity)
    assert not begun
    return held


def rules_of(operator: Operator) -> list[str]:
    return [str(key) for key in operator.routing_rules.order_by("prefix", "id").values_list("pk", flat=True)]


def make_rules(operator: Operator, count: int) -> None:
    for number in range(count):
        rule(operator, f"+44{number:03}")


def operators(*counts: int) -> list[Operator]:
    """Add operators with so many rules each, in the order in which they are listed."""
    made = sorted((carrier() for _ in counts), key=lambda operator: operator.pk)
    for operator, count in zip(made, counts, strict=True):
        make_rules(operator, count)
    return made


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "MOST_RULES", 4)


def test_it_shows_an_operator_as_the_admin_api_does_without_what_is_for_staff() -> None:
    backup = carrier("Backup")
    operator = carrier(
        "Zürich “Mobile”", burst_multiplier=Decimal("2.25"), backup_operator=backup, tags=["a b"], notes="for staff"
    )
    shown = {each["operatorId"]: each for each in read()["data"]}
    expected = {name: value for name, value in OperatorSerializer(operator).data.items() if name not in LEFT_OUT}
    assert shown[str(operator.pk)] == expected
    assert shown[str(operator.pk)]["backupOperatorId"] == str(backup.pk)
    assert read(f"{ALL}/{operator.pk}") == expected


def test_it_shows_a_rule_as_the_admin_api_does_without_what_its_operator_says() -> None:
    operator = carrier()
    rule(operator, "+1")
    rule(operator, "+44", mcc="234", mnc="10", cost_per_segment=Decimal("0.000001"), effective_from=NOON)
    rule(operator, "+447", mcc="234", cost_per_segment=Decimal("999999999.123456"), currency="JPY", weight=7)
    rule(operator, "+4479", cost_per_segment=Decimal(0), active=False, priority=0)
    rule(operator, "+49", effective_from=NOON, effective_to=NOON + timedelta(microseconds=1))

    [shown] = read(rules="true")["data"]

    expected = [RuleSerializer(each).data for each in RoutingRule.objects.order_by("prefix")]
    assert shown["routingRules"] == [
        {name: value for name, value in each.items() if name not in LEFT_OUT_OF_RULES} for each in expected
    ]


def test_it_lists_all_that_are_not_deleted_once_in_the_order_of_their_ids() -> None:
    made = operators(*[0] * 7)
    make_rules(carrier(deleted_at=NOON, status="INACTIVE"), 3)

    pages = read_on(limit=3)

    assert [len(page["data"]) for page in pages] == [3, 3, 1]
    assert [each["operatorId"] for page in pages for each in page["data"]] == [str(each.pk) for each in made]
    assert not {"routingRules", "routingRulesPart"} & pages[0]["data"][0].keys()
    assert pages[-1]["meta"] == {"limit": 3, "nextCursor": None}


def test_it_ends_with_the_last_full_page() -> None:
    operators(*[1] * 4)
    assert [len(page["data"]) for page in read_on(limit=2, rules="true")] == [2, 2]


def test_it_answers_for_no_operators_at_all() -> None:
    assert read(rules="true") == {"data": [], "meta": {"limit": 100, "nextCursor": None}}


@pytest.mark.parametrize("most", range(1, 12))
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_it_gives_each_rule_once_wherever_pages_end(most: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = operators(0, 3, 7, 0, 0, 1, 11)
    make_rules(carrier(deleted_at=NOON, status="INACTIVE"), 5)
    monkeypatch.setattr(roster, "MOST_RULES", most)

    pages = read_on(rules="true", limit=limit)

    assert put_together(pages) == {str(operator.pk): rules_of(operator) for operator in made}
    for page in pages:
        shown = [each.get("routingRules") or each.get("routingRulesPart", {}).get("rules", []) for each in page["data"]]
        assert sum(map(len, shown)) <= most


def test_it_cuts_only_an_operator_that_no_page_can_hold(small_pages: None) -> None:
    made = operators(3, 4, 5)

    pages = read_on(rules="true")

    names = [[(each["operatorId"], "routingRules" in each) for each in page["data"]] for page in pages]
    first, second, third = (str(operator.pk) for operator in made)
    assert names == [[(first, True)], [(second, True)], [(third, False)], [(third, False)]]
    parts = [page["data"][0]["routingRulesPart"] for page in pages[2:]]
    assert [(part["number"], part["isLast"], len(part["rules"])) for part in parts] == [(1, False, 4), (2, True, 1)]


def test_it_shows_all_parts_at_the_version_of_the_first(small_pages: None) -> None:
    """A consumer that drops events up to the version it holds must not drop the one that tells of this rule."""
    [operator] = operators(6)
    page = read(rules="true")
    rule(operator, "+43")
    Operator.objects.filter(pk=operator.pk).update(version=2)

    rest = read(rules="true", cursor=page["meta"]["nextCursor"])

    [first], [last] = page["data"], rest["data"]
    assert (first["version"], last["version"]) == (1, 1)
    # The new rule lies behind the cursor and is not in the parts: event 2 brings it.
    assert len(first["routingRulesPart"]["rules"] + last["routingRulesPart"]["rules"]) == 6
    assert read(f"{ALL}/{operator.pk}")["version"] == 2


def test_it_goes_on_with_the_next_operator_when_one_was_deleted_between_its_parts(small_pages: None) -> None:
    cut, following = operators(6, 2)
    page = read(rules="true")
    Operator.objects.filter(pk=cut.pk).update(deleted_at=timezone.now(), status="INACTIVE")

    rest = read(rules="true", cursor=page["meta"]["nextCursor"])

    assert [each["operatorId"] for each in rest["data"]] == [str(following.pk)]
    assert len(rest["data"][0]["routingRules"]) == 2
    assert rest["meta"]["nextCursor"] is None


def test_it_goes_on_where_it_was_when_operators_come_and_go_between_pages() -> None:
    made = operators(1, 1, 1, 1)
    page = read(limit=2, rules="true")
    Operator.objects.filter(pk__in=[made[1].pk, made[2].pk]).update(deleted_at=timezone.now(), status="INACTIVE")
    carrier(id=UUID(int=0))
    late = carrier(id=UUID(int=2**128 - 1))

    rest = read_on(limit=2, rules="true", cursor=page["meta"]["nextCursor"])[-1]

    assert [each["operatorId"] for each in rest["data"]] == [str(made[3].pk), str(late.pk)]


def test_it_gives_the_rest_whole_when_rules_were_deleted_between_two_parts(small_pages: None) -> None:
    [operator] = operators(9)
    page = read(rules="true")
    operator.routing_rules.filter(prefix__gt="+44003").delete()

    [rest] = read(rules="true", cursor=page["meta"]["nextCursor"])["data"]

    assert rest["routingRulesPart"] == {"number": 2, "isLast": True, "rules": []}


def test_it_needs_as_many_statements_for_many_operators_as_for_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    operators(2)
    client = router()
    # The operators; then, inside a savepoint of the test, what is set for one statement and the rules.
    with django_assert_num_queries(5):
        client.get(ALL, {"rules": "true"})
    operators(*[2] * 20)
    with django_assert_num_queries(5):
        client.get(ALL, {"rules": "true"})
    with django_assert_num_queries(1):
        client.get(ALL)


def test_it_takes_no_cursor_but_its_own(small_pages: None) -> None:
    [operator, other] = operators(6, 5)
    plain = read(limit=1)["meta"]["nextCursor"]
    with_rules = read(rules="true")["meta"]["nextCursor"]
    of_one = read(f"{ALL}/{operator.pk}", rules="true")["routingRulesPart"]["nextCursor"]
    position, signature = plain.split(".")
    for address, parameters in (
        (ALL, {"cursor": with_rules}),
        (ALL, {"cursor": of_one}),
        (ALL, {"cursor": plain, "rules": "true"}),
        (ALL, {"cursor": of_one, "rules": "true"}),
        (ALL, {"cursor": position}),
        (ALL, {"cursor": f"{position}.{signature[:-1]}"}),
        (ALL, {"cursor": f"{position[:-1]}.{signature}"}),
        (ALL, {"cursor": f"{plain}x"}),
        (ALL, {"cursor": str(operator.pk)}),
        (ALL, {"cursor": "\x00"}),
        (ALL, {"cursor": "ü"}),
        (ALL, {"cursor": "a" * 3000}),
        (f"{ALL}/{other.pk}", {"cursor": of_one, "rules": "true"}),
        (f"{ALL}/{operator.pk}", {"cursor": with_rules, "rules": "true"}),
        (f"{ALL}/{operator.pk}", {"cursor": of_one}),
    ):
        assert errors(router().get(address, parameters)).keys() == {"cursor"}, parameters


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("rules=yes", "rules"),
        ("rules=True", "rules"),
        ("page=2", "page"),
        ("rules=true&rules=true", "rules"),
        ("status=ACTIVE", "status"),
    ],
)
def test_it_refuses_parameters_that_it_does_not_know(query: str, field: str) -> None:
    assert errors(router().get(f"{ALL}?{query}")).keys() == {field}


def test_it_reads_one_operator_with_its_rules_part_by_part(small_pages: None) -> None:
    few, many = operators(4, 10)
    assert [each["ruleId"] for each in read(f"{ALL}/{few.pk}", rules="true")["routingRules"]] == rules_of(few)

    found: list[str] = []
    parts: list[tuple[int, bool]] = []
    cursor: str | None = ""
    while cursor is not None:
        body = read(f"{ALL}/{many.pk}", rules="true", cursor=cursor)
        assert "routingRules" not in body
        part = body["routingRulesPart"]
        found += [each["ruleId"] for each in part["rules"]]
        parts.append((part["number"], part["isLast"]))
        cursor = part["nextCursor"]

    assert found == rules_of(many)
    assert parts == [(1, False), (2, False), (3, True)]


def test_it_answers_304_for_the_version_that_the_caller_holds() -> None:
    [operator] = operators(1)
    address = f"{ALL}/{operator.pk}?rules=true"
    tag = router().get(address)["ETag"]
    unchanged = router().get(address, HTTP_IF_NONE_MATCH=tag)
    assert (tag, unchanged.status_code, unchanged.content, unchanged["ETag"]) == ('"1"', 304, b"", tag)

    Operator.objects.filter(pk=operator.pk).update(version=2)
    assert router().get(address, HTTP_IF_NONE_MATCH=tag).status_code == 200


@pytest.mark.parametrize("parameters", [{}, {"rules": "true"}])
def test_it_says_the_same_of_what_is_deleted_and_what_never_was(parameters: dict[str, str]) -> None:
    gone = carrier(deleted_at=NOON, status="INACTIVE")
    details = {
        refused(router().get(f"{ALL}/{identity}", parameters), status=404, code="NOT_FOUND")
        for identity in (gone.pk, NOBODY, uuid4())
    }
    assert details == {"There is no such operator."}


def test_it_lets_both_services_read_and_nobody_else() -> None:
    [operator] = operators(1)
    for address in (ALL, f"{ALL}/{operator.pk}"):
        assert router().get(address).status_code == connector().get(address).status_code == 200
        refused(InternalClient().get(address), status=401, code="UNAUTHENTICATED")
        refused(router().post(address, {}), status=405, code="METHOD_NOT_ALLOWED")
