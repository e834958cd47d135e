"""Every page and action of the console against every group: what the table does not open is closed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.messages import get_messages
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django.views.generic import RedirectView
from pytest_django import Settings

from config.groups import ensure_groups
from health.actions import override_health, start_maintenance
from health.models import HealthStatus
from operators.models import AuditEntry, CredentialRead, HealthState, LegacyRow, LegacyRun, OutboxEvent
from routing.models import RateSheet
from tests.factories import ALICE, make_operator
from tests.routing.cast import make_destination, make_rule

pytestmark = pytest.mark.django_db

# One letter for each group, and N for staff without one. Strangers are sent to the login from everywhere.
GROUPS: Final = {
    "V": "Viewer",
    "O": "Operator manager",
    "R": "Rate manager",
    "S": "Security officer",
    "A": "Administrator",
    "N": "",
}
STAFF: Final = "VORSAN"
VIEW: Final = "VORSA"
NOBODY: Final = ""


def pages(prefix: str, **cells: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return {f"{prefix}_{name}": cell for name, cell in cells.items()}


def read_only(prefix: str, who: str) -> dict[str, tuple[str, str]]:
    """The pages of rows that only commands and actions write; a POST to the list filters or runs an action."""
    return pages(
        prefix,
        changelist=(who, who),
        change=(who, NOBODY),
        history=(who, who),
        add=(NOBODY, NOBODY),
        delete=(NOBODY, NOBODY),
    )


# Name of the address: who may GET it, who may POST to it.
PAGES: Final[dict[str, tuple[str, str]]] = {
    "index": (STAFF, STAFF),
    "app_list": (VIEW, VIEW),
    "jsi18n": (STAFF, NOBODY),
    "autocomplete": (VIEW, NOBODY),
    "password_change": (STAFF, STAFF),
    "password_change_done": (STAFF, NOBODY),
    **pages(
        "operators_operator",
        changelist=(VIEW, VIEW),
        change=(VIEW, "OA"),
        history=(VIEW, VIEW),
        add=("OA", "OA"),
        activate=("OA", "OA"),
        suspend=("OA", "OA"),
        deactivate=("OA", "OA"),
        delete=("OA", "OA"),
        restore=("OA", "OA"),
        rotate=("SA", "SA"),
        revert=("SA", "SA"),
    ),
    **read_only("operators_auditentry", VIEW),
    **read_only("operators_outboxevent", "A"),
    **read_only("operators_credentialread", "SA"),
    **read_only("operators_legacyrun", VIEW),
    **read_only("operators_legacyrow", VIEW),
    **read_only("health_healthstatus", VIEW),
    **pages(
        "health_healthstatus",
        maintenance=("OA", "OA"),
        end_maintenance=("OA", "OA"),
        override=("OA", "OA"),
        end_override=("OA", "OA"),
    ),
    **pages(
        "routing_routingrule",
        changelist=(VIEW, VIEW),
        change=(VIEW, "RA"),
        history=(VIEW, VIEW),
        add=("RA", "RA"),
        delete=("RA", "RA"),
    ),
    **pages(
        "routing_destinationprefix",
        changelist=(VIEW, VIEW),
        change=(VIEW, "RA"),
        history=(VIEW, VIEW),
        add=("RA", "RA"),
        delete=("RA", "RA"),
    ),
    **pages(
        "routing_ratesheet",
        changelist=(VIEW, VIEW),
        change=(VIEW, NOBODY),
        progress=(VIEW, NOBODY),
        rejected=(VIEW, NOBODY),
        history=(VIEW, VIEW),
        add=("RA", "RA"),
        preview=(NOBODY, "RA"),
        apply=(NOBODY, "RA"),
        undo=("RA", "RA"),
        delete=(NOBODY, NOBODY),
        discard=(NOBODY, "RA"),
    ),
    "routing-reports": (STAFF, STAFF),
    "routing-report-prices": (VIEW, NOBODY),
    "routing-report-coverage": (VIEW, NOBODY),
    "routing-report-single": (VIEW, NOBODY),
    "routing-simulator": (VIEW, VIEW),
    **read_only("axes_accessattempt", "SA"),
    **pages(
        "auth_user",
        changelist=("A", "A"),
        change=("A", "A"),
        history=("A", "A"),
        add=("A", "A"),
        password_change=("A", "A"),
        delete=(NOBODY, NOBODY),
    ),
    **read_only("auth_group", "A"),
}
# List and action: who may run it on rows of the list.
ACTIONS: Final = {
    ("operators_operator", "activate_selected"): "OA",
    ("operators_operator", "suspend_selected"): "OA",
    ("operators_operator", "deactivate_selected"): "OA",
    ("operators_operator", "delete_selected"): "OA",
    ("operators_outboxevent", "publish_again"): "A",
    ("routing_routingrule", "end_selected"): "RA",
    ("routing_routingrule", "deactivate_selected"): "RA",
    ("axes_accessattempt", "let_in"): "A",
    ("auth_user", "delete_selected"): NOBODY,
    ("auth_group", "delete_selected"): NOBODY,
}
CONFIRMATIONS: Final = ("bulk.html", "delete_selected_confirmation.html")
# What has no row: the door itself, and Django's address for models that have pages outside the console; none has.
WITHOUT_ROW: Final = {"login", "logout", "view_on_site"}


def console_addresses() -> Iterator[tuple[str, str]]:
    """List the names of the console's addresses; those without one lead elsewhere, or to nothing."""

    def walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, str, URLPattern]]:
        for pattern in patterns:
            address = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, address)
            else:
                yield pattern.name or "", address, pattern

    for name, address, pattern in walk(get_resolver().url_patterns, ""):
        if not address.startswith("admin/"):
            continue
        if name:
            yield name, address
        elif not address.endswith("(?P<url>.*)$"):
            assert getattr(pattern.callback, "view_class", RedirectView) is RedirectView, address
            assert address.endswith("<path:object_id>/"), address


class World:
    """One row of everything that has a page."""

    def __init__(self) -> None:
        ensure_groups()
        operator = make_operator()
        run = LegacyRun.objects.create(sheet="sheet.csv", started_at=timezone.now())
        sheet = {"operator": operator, "size": 1, "sha256": "0" * 64, "default_currency": "EUR", "uploaded_by": "x"}
        now = timezone.now()
        until = now + timedelta(hours=1)
        start_maintenance(actor=ALICE, operator_id=operator.pk, until=until, reason="x")
        override_health(actor=ALICE, operator_id=operator.pk, state=HealthState.HEALTHY, until=until, reason="x")
        self.rows: dict[str, object] = {
            "operators_operator": operator.pk,
            "operators_auditentry": AuditEntry.objects.latest("id").pk,
            "operators_outboxevent": OutboxEvent.objects.latest("id").pk,
            "operators_credentialread": CredentialRead.objects.create(
                operator_id=operator.pk, caller="smpp-connector", result="ok", at=now
            ).pk,
            "operators_legacyrun": run.pk,
            "operators_legacyrow": LegacyRow.objects.create(run=run, line=2, name="x", outcome="failed").pk,
            "health_healthstatus": HealthStatus.objects.get(operator=operator).pk,
            "routing_routingrule": make_rule(operator).pk,
            "routing_destinationprefix": make_destination("+49", "DE").pk,
            "routing_ratesheet": RateSheet.objects.create(
                filename="prices.csv", uploaded_at=now, default_effective_from=now, **sheet
            ).pk,
            "axes_accessattempt": AccessAttempt.objects.create(
                username="x", ip_address="192.0.2.1", failures_since_start=1
            ).pk,
            "auth_user": get_user_model().objects.create_user("somebody-else").pk,
            "auth_group": Group.objects.get(name="Viewer").pk,
        }

    def address(self, name: str) -> str:
        if name.startswith("routing-"):
            return reverse(name)
        if name == "app_list":
            return reverse("admin:app_list", args=["operators"])
        if name == "autocomplete":
            query = "app_label=operators&model_name=operator&field_name=backup_operator&term="
            return f"{reverse('admin:autocomplete')}?{query}"
        prefix = "_".join(name.split("_")[:2])
        needs_row = prefix in self.rows and not name.endswith(("_changelist", "_add"))
        return reverse(f"admin:{name}", args=[self.rows[prefix]] if needs_row else [])


def logged_in(letter: str) -> Client:
    user = get_user_model().objects.create_user(f"tester-{letter}", is_staff=True)
    if GROUPS[letter]:
        user.groups.add(Group.objects.get(name=GROUPS[letter]))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def outcome(answer: HttpResponseBase) -> str:
    if answer.status_code == 302 and answer["Location"].startswith("/admin/login/"):
        return "login"
    return {403: "closed", 404: "closed", 405: "closed"}.get(answer.status_code, "open")


def knock(client: Client, world: World, name: str, method: str) -> HttpResponseBase:
    return getattr(client, method)(world.address(name))  # type: ignore[no-any-return]


def test_it_has_a_row_for_every_address_and_no_other() -> None:
    names = {name for name, _ in console_addresses()}

    assert names - WITHOUT_ROW == set(PAGES), "a new page states in the table who may open it"
    assert len(names) > 80


@pytest.mark.parametrize("letter", STAFF)
def test_it_opens_every_page_to_exactly_those_who_may(letter: str) -> None:
    world = World()
    client = logged_in(letter)

    wrong = []
    for name, cells in PAGES.items():
        for method, who in zip(("get", "post"), cells, strict=True):
            answer = knock(client, world, name, method)
            wanted = "open" if letter in who else "closed"
            if outcome(answer) != wanted or answer.status_code >= 500:
                wrong.append(f"{method} {name}: {answer.status_code}, should be {wanted}")
    assert not wrong, "\n".join(wrong)


def test_it_sends_strangers_to_the_login_from_everywhere() -> None:
    world = World()
    client = Client()

    answers = [
        (name, method, outcome(knock(client, world, name, method))) for name in PAGES for method in ("get", "post")
    ]
    nowhere = client.get("/admin/nowhere/")

    # Django leaves the translations of its scripts open: there are none.
    assert {(name, method) for name, method, result in answers if result != "login"} <= {
        ("jsi18n", "get"),
        ("jsi18n", "post"),
    }
    assert outcome(nowhere) == "login", "not even what exists is told"


@pytest.mark.parametrize("letter", STAFF)
def test_it_runs_every_action_for_exactly_those_who_may(letter: str) -> None:
    world = World()
    client = logged_in(letter)

    for (prefix, action), who in ACTIONS.items():
        sent = {"action": action, "_selected_action": [str(world.rows[prefix])], "index": "0"}
        answer = client.post(reverse(f"admin:{prefix}_changelist"), sent)
        asks = any(str(template.name).endswith(CONFIRMATIONS) for template in answer.templates)
        said = [str(message) for message in get_messages(answer.wsgi_request)]
        has_run = asks or bool(said and said != ["No action selected."])
        assert has_run == (letter in who), (prefix, action, answer.status_code, said)
        client.get("/admin/")  # shows what was said, so that it is said once


def test_it_knows_every_action(settings: Settings) -> None:
    from django.contrib import admin
    from django.test import RequestFactory

    ensure_groups()
    request = RequestFactory().get("/admin/")
    request.user = get_user_model().objects.create_superuser("root")

    offered = {
        (f"{model._meta.app_label}_{model._meta.model_name}", action)
        for model, page in admin.site._registry.items()
        for action in page.get_actions(request)
    }

    assert offered <= set(ACTIONS), "a new action states in the table who may run it"


@pytest.mark.parametrize("prefix", ["operators_operator", "routing_routingrule", "routing_ratesheet"])
def test_it_tells_staff_without_rights_nothing_about_what_exists(prefix: str) -> None:
    world = World()
    client = logged_in("N")

    there = client.get(world.address(f"{prefix}_change"))
    world.rows[prefix] = uuid.uuid4()
    gone = client.get(world.address(f"{prefix}_change"))

    assert (there.status_code, gone.status_code) == (403, 403)


@pytest.mark.parametrize("name", sorted(WITHOUT_ROW - {"logout"}))
def test_the_doors_without_a_row_show_nothing(name: str) -> None:
    arguments: list[Any] = ["1", "1"] if name == "view_on_site" else []
    ensure_groups()

    answer = logged_in("A").get(reverse(f"admin:{name}", args=arguments))

    assert (answer.status_code, answer.get("Location")) == ((404, None) if arguments else (302, "/admin/"))
