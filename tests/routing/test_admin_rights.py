"""Who may do what with routing rules in the console."""

from __future__ import annotations

import re
from typing import Final

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from routing.models import RoutingRule
from tests.factories import make_operator
from tests.operators.console import member_of
from tests.operators.console import page as operator_page
from tests.routing.cast import make_rule
from tests.routing.test_admin_rules import ADD, LIST, page, typed

pytestmark = pytest.mark.django_db

RIGHTS: Final = {
    "Viewer": set[str](),
    "Security officer": set[str](),
    "Operator manager": set(),
    "Rate manager": {"add", "change", "delete", "bulk"},
    "Administrator": {"add", "change", "delete", "bulk"},
}


def staff_with(client: Client, *rights: str) -> Client:
    """Log in somebody who has just these rights on rules and may see operators."""
    user = get_user_model().objects.create_user("somebody", is_staff=True)
    names = [*(f"{right}_routingrule" for right in rights), "view_operator"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client


def knock(client: Client, door: str, rule: RoutingRule, form: dict[str, object]) -> int:
    match door:
        case "add":
            response = client.post(ADD, form)
        case "change":
            response = client.post(page("change", rule), form)
        case "delete":
            response = client.post(page("delete", rule), {"expected_version": 1})
        case _:
            sent = {"action": "deactivate_selected", "_selected_action": [str(rule.pk)], "confirmed": "yes"}
            response = client.post(LIST, sent)
    return response.status_code


@pytest.mark.parametrize("door", ["add", "change", "delete", "bulk"])
@pytest.mark.parametrize("group", RIGHTS)
def test_it_opens_each_door_to_those_who_may(staff_client: Client, group: str, door: str) -> None:
    rule = make_rule(make_operator())
    url = page("change", rule) if door == "change" else f"{ADD}?operator={rule.operator_id}"
    form = typed(staff_client, url, prefix="+33", cost_per_segment="1")
    may = door in RIGHTS[group]

    status = knock(member_of(group), door, rule, form)

    before = {("+4479", 1, True)}
    after = set(RoutingRule.objects.values_list("prefix", "version", "active"))
    assert (after != before) == may
    if door == "bulk" and not may:
        assert status in (200, 302, 403)
    else:
        assert status == (302 if may else 403)


@pytest.mark.parametrize("group", RIGHTS)
def test_it_shows_everybody_the_rules_and_no_button_that_would_be_refused(group: str) -> None:
    rule = make_rule(make_operator(name="Comium"))
    client = member_of(group)
    may = bool(RIGHTS[group])

    rules, form = client.get(LIST).content.decode(), client.get(page("change", rule)).content.decode()

    assert "+4479" in rules and "Comium" in rules
    assert ("addlink" in rules.split('id="changelist"')[0].split("object-tools")[-1]) == may
    assert bool(re.search(r'<option value="deactivate_selected"', rules)) == may
    assert ('name="_save"' in form) == ('class="deletelink"' in form) == may
    assert ("You may read this rule, not change it." in form) == (not may)
    assert "+4479" in form and "0.0415" in form
    assert client.get(page("delete", rule)).status_code == (200 if may else 403)
    assert client.get(ADD).status_code == (200 if may else 403)
    assert ">Routes</a>" in client.get(operator_page("change", rule.operator)).content.decode()


def test_who_may_add_but_not_change_adds_and_reads(client: Client) -> None:
    operator = make_operator()
    rule = make_rule(operator)
    client = staff_with(client, "view", "add")

    # Overlapping is part of adding: the guards answer, the box helps, and nothing is changed.
    form = typed(client, f"{ADD}?operator={operator.pk}", prefix="+44", cost_per_segment="1")
    assert client.post(ADD, form).status_code == 409
    assert client.post(ADD, {**form, "allow_overlap": "on"}).status_code == 302

    shown = client.get(page("change", rule))
    assert shown.status_code == 200
    assert 'name="_save"' not in shown.content.decode()
    assert client.post(page("change", rule), form).status_code == 403
    assert client.post(page("delete", rule), {"expected_version": 1}).status_code == 403
    assert "deactivate_selected" not in client.get(LIST).content.decode()
    rule.refresh_from_db()
    assert rule.version == 1


def test_who_may_add_but_not_view_comes_to_the_form(client: Client) -> None:
    operator = make_operator()
    client = staff_with(client, "add")

    form = typed(client, f"{ADD}?operator={operator.pk}", prefix="+44", cost_per_segment="1")
    response = client.post(ADD, form)
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert RoutingRule.objects.count() == 1
    assert client.get(LIST).status_code == 403


def test_who_may_change_but_not_add_or_delete_changes(client: Client) -> None:
    rule = make_rule(make_operator())
    client = staff_with(client, "view", "change")

    form = typed(client, page("change", rule), weight="5")
    assert client.post(page("change", rule), form).status_code == 302
    html = client.get(page("change", rule)).content.decode()
    assert 'class="deletelink"' not in html
    assert client.get(ADD).status_code == 403
    assert client.get(page("delete", rule)).status_code == 403


def test_it_shows_nothing_to_staff_without_rights(client: Client) -> None:
    rule = make_rule(make_operator())
    client = staff_with(client)

    for url in (LIST, ADD, *(page(name, rule) for name in ("change", "delete", "history"))):
        assert client.get(url).status_code == 403
    assert ">Routes</a>" not in client.get(operator_page("change", rule.operator)).content.decode()


def test_it_shows_rules_without_the_operators_pages_to_who_may_see_rules_alone(client: Client) -> None:
    rule = make_rule(make_operator(name="Comium"))
    user = get_user_model().objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_routingrule"))
    client.force_login(user)

    for url in (f"{LIST}?operator={rule.operator_id}", page("change", rule)):
        html = client.get(url).content.decode()
        assert "Comium" in html
        assert operator_page("history", rule.operator) not in html


def test_it_sends_strangers_to_the_login(client: Client) -> None:
    rule = make_rule(make_operator())

    for url in (LIST, ADD, page("change", rule), page("delete", rule), page("history", rule)):
        response = client.get(url)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")
