"""Who may do what with rate sheets in the console."""

from __future__ import annotations

from typing import Final

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from operators.models import Operator
from routing.imports.options import SheetOptions
from routing.models import RateSheet, RoutingRule, SheetStatus
from tests.factories import make_operator
from tests.operators.console import member_of
from tests.operators.console import page as operator_page
from tests.routing.imports.cast import FEBRUARY, JANUARY, applied, previewed, row
from tests.routing.sheet_pages import ADD, LIST, chosen, page

# Each step of an import is a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)

ALL: Final = {"upload", "preview", "discard", "apply", "undo"}
RIGHTS: Final = {
    "Viewer": set[str](),
    "Security officer": set[str](),
    "Operator manager": set(),
    "Rate manager": ALL,
    "Administrator": ALL,
}


@pytest.fixture
def operator() -> Operator:
    return make_operator(name="Comium")


def staff_with(client: Client, *rights: str) -> Client:
    """Log in somebody who has just these rights and may see operators."""
    user = get_user_model().objects.create_user("somebody", is_staff=True)
    names = [*rights, "view_operator"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client


def knock(client: Client, door: str, operator: Operator) -> tuple[int, bool]:
    """Try to do something, and tell the answer and whether it happened."""
    if door == "upload":
        status = client.post(ADD, chosen(operator)).status_code
        return status, RateSheet.objects.exists()
    sheet = applied(operator, row("+44", "1")) if door == "undo" else previewed(operator, row("+44", "1"))
    assert sheet.previewed_at
    status = client.post(page(door, sheet), {"seen": sheet.previewed_at.isoformat()}).status_code
    now = RateSheet.objects.filter(pk=sheet.pk).first()
    happened = {
        "preview": now is not None and now.previewed_at != sheet.previewed_at,
        "discard": now is None,
        "apply": now is not None and now.status == SheetStatus.APPLIED,
        "undo": now is not None and now.status == SheetStatus.UNDONE,
    }
    return status, happened[door]


@pytest.mark.parametrize("door", sorted(ALL))
@pytest.mark.parametrize("group", RIGHTS)
def test_it_opens_each_door_to_those_who_may(group: str, door: str, operator: Operator) -> None:
    may = door in RIGHTS[group]

    assert knock(member_of(group), door, operator) == ((302, True) if may else (403, False))


@pytest.mark.parametrize("group", RIGHTS)
def test_it_shows_sheets_to_every_group_and_buttons_to_who_may(group: str, operator: Operator) -> None:
    client, may = member_of(group), bool(RIGHTS[group])
    done, open_sheet = applied(operator, row("+44", "1")), previewed(operator, row("+44", "2"), row("x", "1"))

    shown = client.get(page("change", open_sheet)).content.decode()
    for button in ('value="Preview again"', ">Throw away</button>", 'value="Apply 1 price, leave 1 line out"'):
        assert (button in shown) == may
    assert ("Undo this import" in client.get(page("change", done)).content.decode()) == may
    assert ("Import rate sheet" in client.get(LIST).content.decode()) == may
    assert client.get(ADD).status_code == (200 if may else 403)
    assert client.get(page("undo", done)).status_code == (200 if may else 403)
    for name in ("progress", "rejected"):
        assert client.get(page(name, open_sheet)).status_code == 200
    assert ">Rate sheets</a>" in client.get(operator_page("change", operator)).content.decode()


@pytest.mark.parametrize("door", sorted(ALL))
def test_who_may_import_but_not_write_rules_uploads_and_previews_and_applies_nothing(
    client: Client, door: str, operator: Operator
) -> None:
    client = staff_with(client, "view_ratesheet", "import_ratesheet")

    may = door in {"upload", "preview", "discard"}
    assert knock(client, door, operator) == ((302, True) if may else (403, False))
    assert RoutingRule.objects.exists() == (door == "undo")


OLD, NEW = row("+44", "1"), row("+49", "1")
SHEETS: Final = {
    # what the operator has, what the sheet says, whether it is a full one, and the rights on rules that it takes
    "a new price": ((OLD,), (NEW,), False, {"add"}),
    "a dearer price": ((OLD,), (row("+44", "2"),), False, {"change"}),
    "a cheaper price": ((OLD,), (row("+44", "0.5"),), False, {"change"}),
    "another currency": ((OLD,), (row("+44", "1", currency="USD"),), False, {"change"}),
    "a price that ends": ((OLD, NEW), (NEW,), True, {"change"}),
    "a new price before one that begins later": (
        (row("+44", "1", start=FEBRUARY),),
        (row("+44", "1", start=JANUARY),),
        False,
        {"add", "change"},
    ),
    "a new and a dearer price": ((OLD,), (NEW, row("+44", "2")), False, {"add", "change"}),
    "nothing new": ((OLD,), (OLD,), False, set[str]()),
}


@pytest.mark.parametrize(
    "may", [set(), {"add"}, {"change"}, {"add", "change"}], ids=lambda may: "+".join(sorted(may)) or "none"
)
@pytest.mark.parametrize("case", SHEETS)
def test_it_asks_for_the_right_on_rules_that_every_line_needs(
    client: Client, case: str, may: set[str], operator: Operator
) -> None:
    before, lines, is_full, needed = SHEETS[case]
    applied(operator, *before)
    sheet = previewed(operator, *lines, options=SheetOptions(is_full=is_full))
    client = staff_with(client, "view_ratesheet", "import_ratesheet", *(f"{right}_routingrule" for right in may))
    rules = set(RoutingRule.objects.values_list("pk", "version", "active", "effective_to"))
    assert sheet.previewed_at
    shown = client.get(page("change", sheet)).content.decode()

    answer = client.post(
        page("apply", sheet), {"seen": sheet.previewed_at.isoformat(), "confirming": "1", "confirm": "on"}
    )

    sheet.refresh_from_db()
    is_allowed = needed <= may
    assert (answer.status_code, sheet.status) == ((302, "APPLIED") if is_allowed else (403, "PREVIEWED"))
    assert ("You may see what the sheet would do, not apply it" in shown) == (not is_allowed)
    assert (set(RoutingRule.objects.values_list("pk", "version", "active", "effective_to")) != rules) == (
        is_allowed and bool(needed)
    )


def test_who_may_undo_but_not_import_undoes_alone(client: Client, operator: Operator) -> None:
    client = staff_with(client, "view_ratesheet", "undo_ratesheet")

    assert knock(client, "upload", operator) == (403, False)
    for door in ("apply", "discard", "preview"):
        assert knock(client, door, operator) == (403, False)
    RoutingRule.objects.all().delete()
    assert knock(client, "undo", operator) == (302, True)


def test_who_may_import_but_not_write_rules_sees_the_preview_and_no_button(client: Client, operator: Operator) -> None:
    client = staff_with(client, "view_ratesheet", "import_ratesheet")
    done, open_sheet = applied(operator, row("+44", "1")), previewed(operator, row("+44", "2"))

    html = client.get(page("change", open_sheet)).content.decode()

    assert "You may see what the sheet would do, not apply it" in html
    assert 'value="Preview again"' in html
    assert "Apply 1 price" not in html
    assert "Undo this import" not in client.get(page("change", done)).content.decode()


def test_who_may_not_see_sheets_uploads_none(client: Client, operator: Operator) -> None:
    client = staff_with(client, "import_ratesheet", "add_routingrule")

    assert knock(client, "upload", operator) == (403, False)


def test_it_shows_nothing_to_staff_without_rights(client: Client, operator: Operator) -> None:
    client = staff_with(client)
    sheet = applied(operator, row("+44", "1"))

    names = ("change", "progress", "rejected", "undo", "history")
    for url in (LIST, ADD, *(page(name, sheet) for name in names)):
        assert client.get(url).status_code == 403
    assert ">Rate sheets</a>" not in client.get(operator_page("change", operator)).content.decode()


def test_it_shows_sheets_without_the_operators_pages_to_who_may_see_sheets_alone(
    client: Client, operator: Operator
) -> None:
    sheet = applied(operator, row("+44", "1"))
    user = get_user_model().objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_ratesheet"))
    client.force_login(user)

    for url in (f"{LIST}?operator={operator.pk}", page("change", sheet)):
        html = client.get(url).content.decode()
        assert "Comium" in html
        assert operator_page("history", operator) not in html
        assert "/admin/routing/routingrule/" not in html


def test_it_sends_strangers_to_the_login(client: Client, operator: Operator) -> None:
    sheet = applied(operator, row("+44", "1"))

    for url in (LIST, ADD, *(page(name, sheet) for name in ("change", "progress", "rejected", "undo"))):
        response = client.get(url)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")
    for name in ("preview", "apply", "undo", "discard"):
        assert client.post(page(name, sheet))["Location"].startswith("/admin/login/")
    assert client.post(ADD, chosen(operator))["Location"].startswith("/admin/login/")
    assert RateSheet.objects.get().status == SheetStatus.APPLIED
