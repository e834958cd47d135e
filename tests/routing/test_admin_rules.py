"""The console's pages of routing rules: list, form, removal, many at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from operators import actions as operator_actions
from operators.actors import Actor
from operators.models import AuditEntry, OutboxEvent
from routing import actions
from routing.admin.rules import bulk
from routing.models import RoutingRule
from tests.factories import make_operator
from tests.operators.console import page as operator_page
from tests.routing.api.test_rule_list import stored
from tests.routing.cast import make_carrier, make_destination, make_rule

pytestmark = pytest.mark.django_db

LIST: Final = "/admin/routing/routingrule/"
ADD: Final = f"{LIST}add/"
NOON: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)


def page(name: str, rule: RoutingRule) -> str:
    return reverse(f"admin:routing_routingrule_{name}", args=[rule.pk])


def typed(client: Client, url: str, **changes: Any) -> dict[str, Any]:
    """Build what a browser sends when somebody opens the form at `url`, types `changes` and saves."""
    form = client.get(url).context["adminform"].form
    sent: dict[str, Any] = {}
    for box in form:
        value = box.value()
        if isinstance(value, bool):
            if value:
                sent[box.html_name] = "on"
        else:
            shown = box.field.widget.format_value(value)
            sent[box.html_name] = (shown[0] if isinstance(shown, list) else shown) or ""
        if box.field.show_hidden_initial:
            sent[box.html_initial_name] = box.field.hidden_widget().format_value(value) or ""
    return {name: value for name, value in (sent | changes).items() if value is not None}


def prefixes(response: Any) -> list[str]:
    assert response.status_code == 200
    return [rule.prefix for rule in response.context["cl"].result_list]


def form_of(response: Any) -> Any:
    return response.context["adminform"].form


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


# --- The list


def test_it_shows_a_rule_at_a_glance(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    now = timezone.now()
    make_rule(operator, mcc="234", mnc="10", effective_from=now - timedelta(days=1))
    make_rule(operator, prefix="+33", effective_from=NOON.replace(year=2099, hour=0))
    make_rule(operator, prefix="+49", active=False)
    stored(operator, "+46", effective_to=NOON)
    make_rule(make_carrier("Active Telco"), prefix="+1", cost_per_segment=Decimal("0.000123"), currency="USD")

    html = staff_client.get(LIST).content.decode()

    for shown in ("+4479", "234/10", "0.0415", "0.000123", "from 01 Jun 2099", "until 01 Jun 2026, 12:00", "always"):
        assert shown in html
    for state in ("In force", "Future", "Ended", "Inactive"):
        assert f"</i>{state}</span>" in html
    assert html.count("badge-inactive") == 4 + 1  # four of an operator that does not route yet, and one that is over
    assert f'href="?operator={operator.pk}"' in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["+33", "+44", "+4479", "+49"]),
        ("q=%2B44", ["+44", "+4479"]),
        ("q=4479", ["+4479"]),
        ("q=0044", ["+44", "+4479"]),
        ("q=%2B44+(79)", ["+4479"]),
        ("q=%2B", ["+33", "+44", "+4479", "+49"]),
        ("q=COMI", ["+33", "+44"]),
        ("q=nobody", []),
        ("q=%2B44%25", []),
        ("currency=usd", ["+33"]),
        ("currency=XXX", []),
        ("state=IN_FORCE", ["+33"]),
        ("state=FUTURE", ["+44"]),
        ("state=ENDED", ["+4479"]),
        ("state=INACTIVE", ["+49"]),
        ("o=-1", ["+49", "+4479", "+44", "+33"]),
        ("operator=nonsense", []),
        # Only by prefix among all: the database would sort every rule there is.
        ("o=3", ["+33", "+44", "+4479", "+49"]),
    ],
)
def test_it_searches_filters_and_sorts(staff_client: Client, query: str, found: list[str]) -> None:
    comium, other = make_operator(name="Comium"), make_operator(name="Other")
    stored(comium, "+33", currency="USD", cost_per_segment=Decimal(9))
    stored(comium, "+44", effective_from=NOON.replace(year=2099))
    stored(other, "+4479", effective_to=NOON)
    stored(other, "+49", active=False)

    assert prefixes(staff_client.get(f"{LIST}?{query}")) == found


def test_it_shows_one_operators_rules_under_its_tabs_in_any_order(staff_client: Client) -> None:
    comium = make_operator(name="Comium")
    stored(comium, "+33", cost_per_segment=Decimal(1))
    stored(comium, "+44", cost_per_segment=Decimal(3))
    stored(comium, "+49", cost_per_segment=Decimal(2))
    stored(make_operator(), "+1")

    response = staff_client.get(f"{LIST}?operator={comium.pk}&o=-3")

    assert prefixes(response) == ["+44", "+49", "+33"]
    html = response.content.decode()
    assert "Routes of Comium" in html
    assert operator_page("history", comium) in html
    routes = f'<a href="{LIST}?operator={comium.pk}"'
    assert f'{routes} aria-current="page">Routes</a>' in html
    assert f"{routes}>Routes</a>" in staff_client.get(operator_page("change", comium)).content.decode()
    # The form begins with the operator whose list led to it.
    add = f"{ADD}?_changelist_filters=operator%3D{comium.pk}"
    assert add in html
    assert form_of(staff_client.get(add))["operator"].value() == comium.pk


def test_it_leaves_out_the_rules_of_operators_that_are_gone(staff_client: Client, actor: Actor) -> None:
    operator = make_operator(name="Gone")
    rule = make_rule(operator)
    operator_actions.delete_operator(actor=actor, operator_id=operator.pk)

    assert prefixes(staff_client.get(LIST)) == []
    assert prefixes(staff_client.get(f"{LIST}?q=gone")) == []
    for name in ("change", "delete", "history"):
        assert staff_client.get(page(name, rule)).status_code == 404
    assert staff_client.get(f"{LIST}nonsense/change/").status_code == 404


def test_it_costs_the_same_queries_for_one_rule_and_for_many(staff_client: Client) -> None:
    operators = [make_operator(name=f"Telco {number}") for number in range(20)]
    stored(operators[0], "+4400")
    urls = (LIST, f"{LIST}?operator={operators[0].pk}", f"{LIST}?q=%2B44", f"{LIST}?q=telco&state=IN_FORCE")
    few = [queries(staff_client, url) for url in urls]
    for operator in operators:
        stored(operator, *(f"+44{number}" for number in range(100, 200)))

    # One page and one bounded count of rules beside session and person; the filter's and the header's operator.
    assert [queries(staff_client, url) for url in urls] == few
    assert few[0] <= 5 and max(few) <= 8
    assert staff_client.get(LIST).context["cl"].paginator.count == 2001


# --- The form


def test_it_adds_a_rule_and_comes_back_to_the_operators_list(staff_client: Client) -> None:
    operator = make_operator(name="Comium")

    response = staff_client.post(
        ADD,
        typed(
            staff_client,
            f"{ADD}?operator={operator.pk}",
            prefix="+4479",
            mcc="234",
            cost_per_segment="0.0415",
            currency="EUR",
            effective_from="2030-04-01T00:00",
            reason="OPS-7",
        ),
    )

    rule = RoutingRule.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"{LIST}?operator={operator.pk}")
    assert (rule.operator, rule.prefix, rule.mcc, rule.mnc) == (operator, "+4479", "234", "")
    assert (rule.cost_per_segment, rule.currency, rule.priority, rule.weight) == (Decimal("0.0415"), "EUR", 10, 100)
    assert (rule.effective_from, rule.effective_to) == (datetime(2030, 4, 1, tzinfo=UTC), None)
    assert (rule.active, rule.created_by) == (True, "root-of-tests")
    entry = AuditEntry.objects.get(action="add_rule")
    assert (entry.reason, entry.source) == ("OPS-7", "console")
    assert OutboxEvent.objects.filter(operator_id=operator.pk, version=2).count() == 1


def test_it_goes_on_with_the_same_operator(staff_client: Client) -> None:
    operator = make_operator()
    sent = {"operator": str(operator.pk), "prefix": "+44", "cost_per_segment": "1", "currency": "USD"}

    response = staff_client.post(ADD, {**sent, "priority": "1", "weight": "1", "active": "on", "_addanother": "1"})

    assert response["Location"] == f"{ADD}?operator={operator.pk}"
    assert form_of(staff_client.get(response["Location"]))["operator"].value() == operator.pk


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("operator", ""),
        ("operator", "00000000-0000-4000-8000-000000000000"),
        ("prefix", ""),
        ("prefix", "+44abc"),
        ("prefix", "0044"),
        ("prefix", "+1234567890123456"),
        ("mcc", "23"),
        ("mcc", "262"),
        ("mnc", "10"),
        ("priority", "-1"),
        ("priority", "ten"),
        ("weight", "0"),
        ("cost_per_segment", ""),
        ("cost_per_segment", "-0.01"),
        ("cost_per_segment", "NaN"),
        ("cost_per_segment", "0.0000001"),
        ("cost_per_segment", "0,04"),
        ("currency", "XXY"),
        ("currency", "EURO"),
        ("effective_from", "tomorrow"),
        ("effective_to", "2026-02-30T00:00"),
        ("effective_to", "2020-01-01T00:00"),
        ("effective_to", "2029-01-01T00:00"),
        ("effective_to", "9999-12-31T23:59:59-01:00"),
        ("effective_from", "0001-01-01T00:00:00+01:00"),
    ],
)
def test_it_names_the_wrong_field_and_keeps_what_was_typed(staff_client: Client, field: str, wrong: str) -> None:
    make_destination("+44", "GB")
    right = {"prefix": "+4479", "cost_per_segment": "0.0415", "effective_from": "2030-01-01T00:00:00"}
    operator = make_operator()
    if (field, wrong) == ("effective_to", "2020-01-01T00:00"):
        right["effective_from"] = ""

    response = staff_client.post(ADD, typed(staff_client, f"{ADD}?operator={operator.pk}", **{**right, field: wrong}))

    assert response.status_code in (200, 400)
    assert list(form_of(response).errors) == [field]
    assert form_of(response)["reason" if field == "prefix" else "prefix"].value() in ("", "+4479")
    assert not RoutingRule.objects.exists()


def test_it_lists_the_rules_in_the_way_with_links(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    existing = make_rule(operator)

    response = staff_client.post(
        ADD, typed(staff_client, f"{ADD}?operator={operator.pk}", prefix="+4479", cost_per_segment="0.05", reason="X-1")
    )

    assert response.status_code == 409, form_of(response).errors
    html = response.content.decode()
    assert "The operator already has an active rule for +4479 at that time." in html
    assert page("change", existing) in html
    assert (form_of(response)["cost_per_segment"].value(), form_of(response)["reason"].value()) == ("0.05", "X-1")
    assert "allow_overlap" not in form_of(response).errors
    assert RoutingRule.objects.count() == 1


def test_it_saves_an_overlap_at_the_second_click(staff_client: Client) -> None:
    operator = make_operator()
    outer = make_rule(operator, prefix="+44")
    sent = typed(staff_client, f"{ADD}?operator={operator.pk}", prefix="+4479", cost_per_segment="0.05")

    refused = staff_client.post(ADD, sent)
    assert refused.status_code == 409
    assert list(form_of(refused).errors) == ["__all__", "allow_overlap"]
    assert page("change", outer) in refused.content.decode()

    assert staff_client.post(ADD, {**sent, "allow_overlap": "on"}).status_code == 302
    inner = RoutingRule.objects.get(prefix="+4479")
    # A new price meets nobody anew.
    change = page("change", inner)
    assert staff_client.post(change, typed(staff_client, change, cost_per_segment="0.06")).status_code == 302


def test_it_says_how_many_more_rules_there_are(staff_client: Client) -> None:
    operator = make_operator()
    stored(operator, *(f"+44{number}" for number in range(10, 35)))

    html = staff_client.post(
        ADD, typed(staff_client, f"{ADD}?operator={operator.pk}", prefix="+44", cost_per_segment="1")
    ).content.decode()

    assert "And 5 more." in html


def test_it_changes_only_what_was_typed(staff_client: Client) -> None:
    moment = timezone.now() + timedelta(days=30, microseconds=5)
    rule = make_rule(make_operator(), effective_to=moment)
    change = page("change", rule)

    response = staff_client.post(change, typed(staff_client, change, weight="50", reason="CHG-1"))

    assert response.status_code == 302
    rule.refresh_from_db()
    # The box shows whole seconds; what nobody touched keeps its microseconds.
    assert (rule.weight, rule.version, rule.effective_to) == (50, 2, moment)
    assert AuditEntry.objects.get(action="change_rule").reason == "CHG-1"


def test_it_leaves_an_unchanged_rule_alone(staff_client: Client) -> None:
    rule = make_rule(make_operator(), mcc="234", effective_to=timezone.now() + timedelta(days=1))
    change = page("change", rule)

    assert staff_client.post(change, typed(staff_client, change)).status_code == 302

    rule.refresh_from_db()
    assert rule.version == 1


def test_it_clears_a_window_and_switches_off(staff_client: Client) -> None:
    rule = make_rule(make_operator(), effective_to=timezone.now() + timedelta(days=1))
    change = page("change", rule)

    staff_client.post(change, typed(staff_client, change, effective_to="", active=None))

    rule.refresh_from_db()
    assert (rule.effective_to, rule.active) == (None, False)


def test_it_keeps_a_rule_with_its_operator(staff_client: Client) -> None:
    rule, other = make_rule(make_operator()), make_operator()
    change = page("change", rule)

    staff_client.post(change, typed(staff_client, change, operator=str(other.pk), weight="5"))

    rule.refresh_from_db()
    assert (rule.weight, rule.operator_id == other.pk) == (5, False)


def test_it_shows_who_changed_what_meanwhile_and_keeps_both(staff_client: Client, actor: Actor) -> None:
    rule = make_rule(make_operator())
    change = page("change", rule)
    sent = typed(staff_client, change, weight="50", priority="3")
    actions.update_rule(
        actor=actor,
        rule_id=rule.pk,
        changes={"cost_per_segment": Decimal("0.07"), "active": False, "priority": 7},
        reason="CHG-9",
    )

    response = staff_client.post(change, sent)

    assert response.status_code == 412
    html = response.content.decode()
    for shown in ("alice changed this rule meanwhile", "CHG-9", "0.070000 EUR, priority 7"):
        assert shown in html
    form = form_of(response)
    assert {name: form[name].value() for name in ("weight", "cost_per_segment", "active", "priority")} == {
        "weight": "50",
        "cost_per_segment": "0.070000",
        "active": False,
        "priority": "3",
    }
    assert set(form.errors) == {"__all__", "priority"}
    rule.refresh_from_db()
    assert (rule.version, rule.weight) == (2, 100)

    again = {name: form.data[name] for name in form.data}
    assert staff_client.post(change, again).status_code == 302
    rule.refresh_from_db()
    assert (rule.version, rule.weight, rule.priority, rule.active) == (3, 50, 3, False)
    assert rule.cost_per_segment == Decimal("0.07")


def test_it_takes_the_same_change_by_two_people_for_one(staff_client: Client, actor: Actor) -> None:
    rule = make_rule(make_operator())
    change = page("change", rule)
    sent = typed(staff_client, change, weight="50")
    actions.update_rule(actor=actor, rule_id=rule.pk, changes={"weight": 50})

    assert set(form_of(staff_client.post(change, sent)).errors) == {"__all__"}


def test_it_keeps_the_page_when_the_rule_is_gone_meanwhile(staff_client: Client, actor: Actor) -> None:
    rule = make_rule(make_operator())
    change = page("change", rule)
    sent = typed(staff_client, change, weight="50")
    actions.delete_rule(actor=actor, rule_id=rule.pk)

    assert staff_client.post(change, sent).status_code == 404


def test_it_escapes_what_an_operator_is_called(staff_client: Client) -> None:
    rule = make_rule(make_operator(name="<script>alert(1)</script>"))

    for url in (LIST, f"{LIST}?operator={rule.operator_id}", page("change", rule), page("delete", rule)):
        assert "<script>alert(1)" not in staff_client.get(url).content.decode()


# --- Removal, history, many at once


def test_it_removes_a_rule_with_a_reason(staff_client: Client) -> None:
    operator = make_operator()
    rule = make_rule(operator)
    assert "+4479" in staff_client.get(page("delete", rule)).content.decode()
    assert RoutingRule.objects.exists()

    response = staff_client.post(page("delete", rule), {"reason": "typo", "expected_version": 1})

    assert (response.status_code, response["Location"]) == (302, f"{LIST}?operator={operator.pk}")
    assert not RoutingRule.objects.exists()
    assert AuditEntry.objects.get(action="delete_rule").reason == "typo"


def test_it_removes_no_rule_that_has_changed_meanwhile(staff_client: Client, actor: Actor) -> None:
    rule = make_rule(make_operator())
    actions.update_rule(actor=actor, rule_id=rule.pk, changes={"weight": 1}, reason="CHG-3")

    response = staff_client.post(page("delete", rule), {"reason": "typo", "expected_version": 1})

    assert response.status_code == 412
    assert "CHG-3" in response.content.decode()
    form = response.context["form"]
    assert (form["expected_version"].value(), form["reason"].value()) == (2, "typo")
    assert staff_client.post(page("delete", rule), {"expected_version": 2}).status_code == 302


def test_it_leads_to_the_history_of_the_operator(staff_client: Client) -> None:
    rule = make_rule(make_operator())

    response = staff_client.get(page("history", rule), follow=True)

    assert response.redirect_chain == [(operator_page("history", rule.operator), 302)]
    assert "+4479: 0.041500 EUR" in response.content.decode()


@pytest.mark.parametrize(
    ("name", "left"), [("end_selected", ["+33", "+49"]), ("deactivate_selected", ["+49"])], ids=["end", "deactivate"]
)
def test_it_ends_and_switches_off_many(staff_client: Client, name: str, left: list[str]) -> None:
    operator = make_operator()
    chosen = [
        make_rule(operator, prefix="+44"),
        make_rule(operator, prefix="+4479"),
        make_rule(operator, prefix="+33", effective_from=timezone.now() + timedelta(days=1)),
        make_rule(operator, prefix="+49", active=False),
    ]
    sent = {"action": name, "_selected_action": [str(rule.pk) for rule in chosen]}

    asked = staff_client.post(LIST, sent)
    assert [rule.prefix for rule, _ in asked.context["unable"]] == left
    assert RoutingRule.objects.filter(version=1).count() == 4

    response = staff_client.post(LIST, {**sent, "confirmed": "yes", "reason": "OPS-8"}, follow=True)

    done = 4 - len(left)
    assert f"done for {done} rules" in response.content.decode()
    assert RoutingRule.objects.filter(version=2).count() == done
    assert AuditEntry.objects.filter(action="change_rule", reason="OPS-8").count() == done
    if name == "end_selected":
        assert RoutingRule.objects.filter(effective_to__lte=timezone.now()).count() == done
    else:
        assert not RoutingRule.objects.filter(active=True).exists()


def test_it_touches_no_more_than_two_hundred_at_once(staff_client: Client) -> None:
    assert bulk.MOST_AT_ONCE == 200
    rules = stored(make_operator(), *(f"+44{number}" for number in range(100, 301)))
    sent = {"action": "deactivate_selected", "_selected_action": [str(rule.pk) for rule in rules], "confirmed": "yes"}

    response = staff_client.post(LIST, sent, follow=True)

    assert "At most 200 rules at once" in response.content.decode()
    assert RoutingRule.objects.filter(active=True).count() == 201


def test_it_tells_which_of_many_could_not_be_changed(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    short = make_rule(operator, effective_to=timezone.now() + timedelta(days=9))
    # Ended now, its whole time would lie in that of longer prefixes which cover all of it.
    until = timezone.now() + timedelta(days=1)
    stored(operator, *(f"+4479{digit}" for digit in range(10)), effective_to=until)

    response = staff_client.post(
        LIST, {"action": "end_selected", "_selected_action": [str(short.pk)], "confirmed": "yes"}, follow=True
    )

    assert "+4479 of Comium: +4479 could never win" in response.content.decode()
