from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from health import actions
from health.models import HealthReport, HealthStatus, HealthTransition, HealthWindow, WindowKind
from operators import actions as operator_actions
from operators.actors import Actor
from operators.models import AuditEntry, HealthState, Operator, OutboxEvent
from tests.factories import make_operator
from tests.health.cast import health_page, live_through, make_move, make_partitions, make_report, make_window
from tests.operators.console import member_of
from tests.operators.test_admin_pages import INLINE, OUTSIDE

pytestmark = pytest.mark.django_db

HOUR: Final = timedelta(hours=1)
FORMS: Final = ("maintenance", "end_maintenance", "override", "end_override")
HOSTILE: Final = "<script>alert(1)</script>\"'&"


@pytest.fixture
def operator() -> Operator:
    return make_operator(name="Comium")


def read(client: Client, operator: Operator, query: str = "") -> str:
    response = client.get(health_page(operator) + query)
    assert response.status_code == 200
    return response.content.decode()


def words(html: str) -> str:
    """Leave what a reader sees of a page, or of a part of it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def rows(html: str) -> list[str]:
    table = html[html.index('class="moves-table"') :]
    return [words(row) for row in re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", table, re.DOTALL)]


def decide(client: Client, operator: Operator, name: str, **typed: Any) -> Any:
    return client.post(health_page(operator, name), {"reason": "OPS-7", **typed})


def may(*rights: str) -> Client:
    user = get_user_model().objects.create_user("limited", is_staff=True)
    for right in rights:
        app, codename = right.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(user)
    return client


def test_it_shows_an_operator_that_never_reported(staff_client: Client, operator: Operator) -> None:
    html = read(staff_client, operator)

    assert "No report has come yet." in html
    assert "The state has not moved yet." in html
    assert re.search(r'class="uptime number">—<', html)
    assert "<details" not in html


def test_it_shows_the_newest_report_and_what_its_error_means(staff_client: Client, operator: Operator) -> None:
    at = timezone.now() - timedelta(minutes=3)
    HealthStatus.objects.filter(pk=operator.pk).update(
        state="UNHEALTHY",
        since=at,
        reason="BIND_LOST",
        effective_state="UNHEALTHY",
        effective_since=at,
        effective_reason="BIND_LOST",
        observed_at=at,
        received_at=at,
        bind_state="UNBOUND",
        bind_error="ESME_RINVPASWD",
        error_rate=0.125,
        latency_ms=1234,
        connector_id="smpp-connector-3",
    )

    html = words(read(staff_client, operator))

    for told in (
        "Unhealthy since 3 minutes ago",
        "The bind is lost.",
        "12.50 %",
        "1,234 ms",
        "UNBOUND",
        "does not accept the password",
        "smpp-connector-3",
    ):
        assert told in html


def test_it_says_nothing_of_an_error_that_only_the_vendor_knows(staff_client: Client, operator: Operator) -> None:
    at = timezone.now()
    HealthStatus.objects.filter(pk=operator.pk).update(observed_at=at, received_at=at, bind_error="VENDOR_0x4F1")

    html = read(staff_client, operator)

    assert "VENDOR_0x4F1" in html
    assert 'class="hint"' not in html


def test_it_draws_the_reports_and_says_the_same_in_a_table(staff_client: Client, operator: Operator) -> None:
    now = timezone.now()
    make_partitions(now - timedelta(days=1), now)
    HealthReport.objects.bulk_create(
        make_report(operator, now - timedelta(minutes=20, seconds=number), error_rate=0.08, latency_ms=140)
        for number in range(3)
    )

    html = read(staff_client, operator, "?range=hour")

    assert html.count('class="line-mean" d="M') == 4  # two drawings, and the key of each
    assert "average 8.00 %, worst 8.00 %, " in html
    assert "average 140 ms, worst 140 ms, " in html
    assert re.search(r"<td>8\.00 %</td><td>8\.00 %</td><td>140 ms</td><td>140 ms</td>", html)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?range=hour", "hour"),
        ("?range=day", "day"),
        ("?range=week", "week"),
        ("", "day"),
        ("?range=year", "day"),
        ("?range=week&p=nonsense", "week"),
        ("?p=99999999999999999999", "day"),
        ("?p=-1", "day"),
    ],
    ids=["hour", "day", "week", "nothing", "year", "page-nonsense", "page-far", "page-negative"],
)
def test_it_shows_the_range_that_was_asked_for_or_a_day(
    staff_client: Client, operator: Operator, query: str, shown: str
) -> None:
    html = read(staff_client, operator, query)

    assert f"The last {shown}</h2>" in html
    assert re.findall(r'<a href="\?range=(\w+)" aria-current="page">', html) == [shown]


def test_it_figures_the_uptime_of_what_was_measured_outside_of_maintenance(
    staff_client: Client, operator: Operator
) -> None:
    now = timezone.now()
    Operator.objects.filter(pk=operator.pk).update(created_at=now - timedelta(days=400))
    make_move(operator, now - 400 * HOUR, "UNKNOWN", "HEALTHY", "BOUND")
    make_move(operator, now - 300 * HOUR, "HEALTHY", "UNHEALTHY", "BIND_LOST")
    make_window(operator, WindowKind.MAINTENANCE, now - 250 * HOUR, now - 200 * HOUR, ended_at=now - 200 * HOUR)
    # Others saw this one as healthy; the reports did not say so.
    make_move(operator, now - 199 * HOUR, "UNHEALTHY", "HEALTHY", "OVERRIDE")
    make_move(operator, now - 150 * HOUR, "UNHEALTHY", "DEGRADED", "BOUND", is_hidden=True)

    html = words(read(staff_client, operator))

    # Up 100 and 150 hours, down 150 without the 50 of maintenance.
    assert "71.42 %" in html
    assert "Measured 14 d 14 h of 30 d" in html


def test_it_takes_the_state_of_30_days_ago_from_the_last_move_before(staff_client: Client, operator: Operator) -> None:
    now = timezone.now()
    Operator.objects.filter(pk=operator.pk).update(created_at=now - timedelta(days=400))
    make_move(operator, now - timedelta(days=90), "UNKNOWN", "UNHEALTHY", "BIND_LOST")
    make_move(operator, now - timedelta(days=80), "UNHEALTHY", "DEGRADED", "BOUND")

    assert "100.00 % Measured 30 d of 30 d" in words(read(staff_client, operator))


def test_it_counts_a_young_operator_from_its_creation(staff_client: Client, operator: Operator) -> None:
    now = timezone.now()
    Operator.objects.filter(pk=operator.pk).update(created_at=now - timedelta(days=2, minutes=1))
    make_move(operator, now - timedelta(days=1, minutes=1), "UNKNOWN", "HEALTHY", "BOUND")

    assert "100.00 % Measured 1 d of 2 d" in words(read(staff_client, operator))


def test_it_tells_every_move_newest_first_with_its_reason(
    staff_client: Client, operator: Operator, actor: Actor
) -> None:
    now = timezone.now()
    steps: list[tuple[str, str, str, dict[str, Any]]] = [
        ("UNKNOWN", "HEALTHY", "BOUND", {}),
        ("HEALTHY", "DEGRADED", "ERROR_RATE", {"error_rate": 0.0712}),
        ("DEGRADED", "UNHEALTHY", "ERROR_RATE", {"error_rate": 0.4, "is_hidden": True}),
        ("UNHEALTHY", "DEGRADED", "BOUND", {}),
        ("DEGRADED", "UNHEALTHY", "BIND_LOST", {"bind_error": "ESME_RALYBND"}),
        ("UNHEALTHY", "UNKNOWN", "STALE", {}),
    ]
    for number, (before, after, reason, values) in enumerate(steps):
        make_move(operator, now - HOUR + number * timedelta(minutes=1), before, after, reason, **values)
    actions.start_maintenance(actor=actor, operator_id=operator.pk, until=now + HOUR, reason="Works")
    actions.end_maintenance(actor=actor, operator_id=operator.pk)

    told = rows(read(staff_client, operator))

    for row, expected in zip(
        told,
        (
            ("Unhealthy", "Unknown", "The maintenance ended."),
            ("Unknown", "Unhealthy", "In maintenance."),
            ("Unhealthy", "Unknown", "No report came for more than 60 s."),
            ("Degraded", "Unhealthy", "The bind is lost.", "ESME_RALYBND"),
            ("Unhealthy", "Degraded", "Bound again"),
            ("Degraded", "Unhealthy", "above 20 %", "not shown to others", "40.00 %"),
            ("Healthy", "Degraded", "above 5 %", "7.12 %"),
            ("Unknown", "Healthy", "The connector is bound."),
        ),
        strict=True,
    ):
        at = -1
        for part in expected:
            at = row.index(part, at + 1)
        assert ("not shown" in row) == ("not shown to others" in expected)


def test_it_pages_the_moves_and_keeps_the_range(staff_client: Client, operator: Operator) -> None:
    now = timezone.now()
    for number in range(30):
        states = ("HEALTHY", "UNHEALTHY") if number % 2 else ("UNHEALTHY", "HEALTHY")
        make_move(operator, now - number * HOUR, *states, "BIND_LOST" if number % 2 else "BOUND")

    first, second = (read(staff_client, operator, f"?range=week&p={page}") for page in (1, 2))

    assert (len(rows(first)), len(rows(second))) == (25, 5)
    assert 'href="?range=week&amp;p=2#moves"' in first
    assert "Page 2 of 2" in second


def test_it_asks_the_database_as_often_for_a_week_as_for_nothing(
    staff_client: Client, operator: Operator, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    now = timezone.now()
    busy = make_operator(name="Busy")
    make_partitions(now - timedelta(days=2), now)
    live_through(busy, now - timedelta(days=1), now)
    for days in range(2, 12, 2):
        make_window(busy, WindowKind.OVERRIDE, now - timedelta(days=days), now - timedelta(days=days - 1), ended_at=now)
    assert HealthTransition.objects.filter(operator=busy).count() > 4
    make_move(operator, now, "UNKNOWN", "HEALTHY", "BOUND")
    read(staff_client, operator)

    for each in (operator, busy):
        # Session, user, operator, status; the moves of the page; two for the course; the windows; the log.
        with django_assert_num_queries(10):
            read(staff_client, each, "?range=week")


def test_it_escapes_what_others_wrote(staff_client: Client, operator: Operator) -> None:
    now = timezone.now()
    Operator.objects.filter(pk=operator.pk).update(name=HOSTILE)
    HealthStatus.objects.filter(pk=operator.pk).update(
        observed_at=now, received_at=now, bind_error=HOSTILE, connector_id=HOSTILE, bind_state="UNBOUND"
    )
    make_move(operator, now, "UNKNOWN", "UNHEALTHY", "BIND_LOST", bind_error=HOSTILE)
    make_window(operator, WindowKind.MAINTENANCE, now - HOUR, now + HOUR, reason=HOSTILE, opened_by=HOSTILE)
    make_window(
        operator, WindowKind.OVERRIDE, now - 2 * HOUR, now, ended_at=now - HOUR, reason=HOSTILE, closed_by=HOSTILE
    )

    for address in (health_page(operator), *(health_page(operator, name) for name in FORMS[:3])):
        html = staff_client.get(address).content.decode()
        assert "<script>alert" not in html
        assert not (found := INLINE.search(html)), found
        assert not OUTSIDE.search(html)


def test_it_has_a_tab_between_the_pages_of_an_operator(staff_client: Client, operator: Operator) -> None:
    link = f'<a href="{health_page(operator)}"'

    settings = staff_client.get(f"/admin/operators/operator/{operator.pk}/change/").content.decode()

    assert link in settings
    assert f'{link} aria-current="page">Health' in read(staff_client, operator)
    assert f"/admin/operators/operator/{operator.pk}/activate/" in read(staff_client, operator)


@pytest.mark.parametrize(
    "object_id", ["0c63c6a3-8b0e-4d4f-a1a3-0b8f66e07f05", "nonsense", "%00"], ids=["unknown", "nonsense", "nul"]
)
def test_it_knows_no_page_of_an_operator_that_does_not_exist(staff_client: Client, object_id: str) -> None:
    for page in ("change", *FORMS):
        assert staff_client.get(f"/admin/health/healthstatus/{object_id}/{page}/").status_code == 404
    assert staff_client.post(f"/admin/health/healthstatus/{object_id}/maintenance/").status_code == 404


def test_it_leads_from_djangos_history_to_ours_and_offers_no_deletion(staff_client: Client, operator: Operator) -> None:
    history = staff_client.get(health_page(operator, "history"))

    assert history["Location"] == f"/admin/operators/operator/{operator.pk}/history/"
    assert staff_client.get(health_page(operator, "delete")).status_code == 403


def test_it_shows_a_deleted_operator_without_buttons(staff_client: Client, operator: Operator, actor: Actor) -> None:
    operator_actions.delete_operator(actor=actor, operator_id=operator.pk)

    html = read(staff_client, operator)

    assert "This operator was deleted on" in html
    assert "decisions" not in html
    assert staff_client.get(health_page(operator, "maintenance"))["Location"] == health_page(operator)
    assert decide(staff_client, operator, "maintenance", length="1").status_code == 404
    assert not HealthWindow.objects.exists()


# --- What staff decide ------------------------------------------------------------------------------------------------


def buttons(html: str) -> list[str]:
    found = re.search(r'<ul class="moves decisions">(.*?)</ul>', html, re.DOTALL)
    return re.findall(r">([^<>]+)</a>", found[1]) if found else []


def test_it_offers_an_end_only_of_what_is_open(staff_client: Client, operator: Operator, actor: Actor) -> None:
    until = timezone.now() + HOUR
    assert buttons(read(staff_client, operator)) == ["Start maintenance", "Override state"]

    actions.start_maintenance(actor=actor, operator_id=operator.pk, until=until, reason="Works")
    assert buttons(read(staff_client, operator)) == ["Change maintenance", "End maintenance", "Override state"]

    actions.override_health(
        actor=actor, operator_id=operator.pk, state=HealthState.HEALTHY, until=until, reason="Known false alarm"
    )
    assert buttons(read(staff_client, operator))[2:] == ["Change override", "End override"]


def test_it_puts_an_operator_into_maintenance(staff_client: Client, operator: Operator) -> None:
    before = timezone.now()

    response = decide(staff_client, operator, "maintenance", length="4", reason=" Carrier's works, OPS-311 ")

    assert response["Location"] == health_page(operator)
    window = HealthWindow.objects.get()
    assert (window.kind, window.opened_by, window.reason) == (
        "MAINTENANCE",
        "root-of-tests",
        "Carrier's works, OPS-311",
    )
    assert timedelta(0) <= window.ends_at - before - 4 * HOUR < timedelta(minutes=1)
    entry = AuditEntry.objects.get(action="start_maintenance")
    assert (entry.actor, entry.source) == ("root-of-tests", "console")
    operator.refresh_from_db()
    assert operator.health_state == "UNHEALTHY"
    html = words(read(staff_client, operator))
    assert "Comium is in maintenance until" in html
    assert "Carrier&#x27;s works, OPS-311" in html
    assert "The reports say: Unknown" in html


def test_it_overrides_a_state_until_a_moment_in_utc(staff_client: Client, operator: Operator) -> None:
    until = (timezone.now() + timedelta(days=2)).replace(second=0, microsecond=0)

    decide(staff_client, operator, "override", state="DEGRADED", length="until", until=f"{until:%Y-%m-%dT%H:%M}")

    window = HealthWindow.objects.get()
    assert (window.kind, window.state, window.ends_at) == ("OVERRIDE", "DEGRADED", until)
    operator.refresh_from_db()
    assert operator.health_state == "DEGRADED"
    assert "Overridden by staff." in read(staff_client, operator)


def test_it_takes_a_moment_that_was_typed_for_the_choice_of_it(staff_client: Client, operator: Operator) -> None:
    until = timezone.now() + timedelta(days=2)

    decide(staff_client, operator, "maintenance", until=f"{until:%Y-%m-%dT%H:%M}")

    assert HealthWindow.objects.get().ends_at == until.replace(second=0, microsecond=0)


def test_it_begins_the_form_with_what_is_open(staff_client: Client, operator: Operator) -> None:
    now = timezone.now()
    make_window(
        operator, WindowKind.OVERRIDE, now, now.replace(microsecond=0) + HOUR, state="DEGRADED", reason="Flapping"
    )

    html = staff_client.get(health_page(operator, "override")).content.decode()

    assert f'value="{now + HOUR:%Y-%m-%dT%H:%M}"' in html
    assert re.search(r'value="DEGRADED"[^>]*checked', html)
    assert "Flapping</textarea>" in html
    assert "It ends when this one begins." in html


def test_it_ends_what_is_open(staff_client: Client, operator: Operator) -> None:
    for name, kind in (("maintenance", {}), ("override", {"state": "HEALTHY"})):
        decide(staff_client, operator, name, length="1", **kind)
        assert staff_client.get(health_page(operator, f"end_{name}")).status_code == 200

        response = decide(staff_client, operator, f"end_{name}", reason="")

        assert response["Location"] == health_page(operator)
    assert not HealthWindow.objects.open().exists()
    assert set(HealthWindow.objects.values_list("closed_by", flat=True)) == {"root-of-tests"}
    operator.refresh_from_db()
    assert operator.health_state == "UNKNOWN"
    html = words(read(staff_client, operator))
    assert "ended by root-of-tests" in html
    assert "The override ended." in html


def test_it_says_when_there_is_nothing_to_end_any_more(staff_client: Client, operator: Operator) -> None:
    shown = staff_client.get(health_page(operator, "end_override"))
    sent = decide(staff_client, operator, "end_override")

    assert shown["Location"] == health_page(operator)
    assert sent.status_code == 404
    assert "has no override now" in sent.content.decode()


@pytest.mark.parametrize(
    ("typed", "status", "told"),
    [
        ({"length": "1", "reason": ""}, 200, "This field is required."),
        ({"length": "1", "reason": "  "}, 200, "This field is required."),
        ({"length": "1", "reason": "x" * 1001}, 200, "at most 1000 characters"),
        ({"length": "1", "reason": "a\x00b"}, 200, "Null characters are not allowed."),
        ({}, 200, "Say for how long."),
        ({"length": "until"}, 200, "Say until when."),
        ({"length": "2"}, 200, "Select a valid choice."),
        ({"length": "1", "until": "2026-12-01T10:00"}, 200, "not both"),
        ({"until": "tomorrow"}, 200, "Enter a valid date/time."),
        ({"until": "9999-12-31T23:59"}, 400, "At most 30 days ahead."),
        ({"until": "2020-01-01T00:00"}, 400, "This moment has passed."),
        ({"length": "1", "state": "UNKNOWN"}, 200, "Select a valid choice."),
        ({"length": "1", "state": ""}, 200, "This field is required."),
    ],
    ids=[
        "no-reason",
        "blank-reason",
        "long-reason",
        "nul-reason",
        "no-length",
        "no-moment",
        "odd-length",
        "both",
        "no-date",
        "too-far",
        "past",
        "unknown-state",
        "no-state",
    ],
)
def test_it_refuses_at_the_field_and_keeps_what_was_typed(
    staff_client: Client, operator: Operator, typed: dict[str, str], status: int, told: str
) -> None:
    sent = {"reason": "Planned, OPS-12", "state": "DEGRADED"} | typed

    response = staff_client.post(health_page(operator, "override"), sent)

    html = response.content.decode()
    assert response.status_code == status
    assert re.search(rf'<ul class="errorlist"[^>]*>\s*<li>[^<]*{re.escape(told)}', html)
    if "reason" not in typed:
        assert "Planned, OPS-12</textarea>" in html
    if "state" not in typed:
        assert re.search(r'value="DEGRADED"[^>]*checked', html)
    assert not HealthWindow.objects.exists()
    assert not OutboxEvent.objects.filter(subject="operator.health").exists()


def test_it_changes_nothing_by_looking(staff_client: Client, operator: Operator) -> None:
    for name in FORMS:
        staff_client.get(health_page(operator, name))

    assert not HealthWindow.objects.exists()


def test_it_takes_no_decision_without_the_token_against_forgery(operator: Operator) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.create_superuser("dora"))

    assert decide(client, operator, "maintenance", length="1").status_code == 403
    assert not HealthWindow.objects.exists()


# --- Who may what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rights", "allowed"),
    [
        (("health.view_healthstatus",), ()),
        (("health.view_healthstatus", "health.set_maintenance"), ("maintenance",)),
        (("health.view_healthstatus", "health.override_health"), ("override",)),
    ],
    ids=["viewer", "maintenance", "override"],
)
def test_it_lets_each_right_do_its_own_and_nothing_else(
    operator: Operator, rights: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    client = may(*rights)

    assert len(buttons(read(client, operator))) == len(allowed)
    for name in FORMS:
        is_allowed = name.removeprefix("end_") in allowed
        response = client.get(health_page(operator, name))
        assert response.status_code == (403 if not is_allowed else 302 if name.startswith("end_") else 200)
        if not is_allowed:
            assert decide(client, operator, name, length="1", state="HEALTHY").status_code == 403
    assert not HealthWindow.objects.exists()


def test_it_is_closed_to_whom_may_not_see_health(operator: Operator) -> None:
    client = may("operators.view_operator", "health.set_maintenance")

    assert client.get(health_page(operator)).status_code == 403
    assert client.get(health_page(operator, "maintenance")).status_code == 403
    settings = client.get(f"/admin/operators/operator/{operator.pk}/change/").content.decode()
    assert health_page(operator) not in settings


def test_it_asks_strangers_to_log_in(client: Client, operator: Operator) -> None:
    for name in ("change", *FORMS):
        assert "/login/" in client.get(health_page(operator, name))["Location"]


def test_it_cannot_be_written_to_itself(staff_client: Client, operator: Operator) -> None:
    status = HealthStatus.objects.get(pk=operator.pk)

    assert staff_client.post(health_page(operator), {"state": "HEALTHY"}).status_code == 405

    assert HealthStatus.objects.get(pk=operator.pk).state == status.state


@pytest.mark.parametrize(
    ("group", "shown"),
    [("Viewer", 0), ("Operator manager", 2), ("Rate manager", 0), ("Security officer", 0), ("Administrator", 2)],
    ids=["viewer", "operators", "rates", "security", "administrator"],
)
def test_it_gives_the_groups_what_their_names_promise(operator: Operator, group: str, shown: int) -> None:
    assert len(buttons(read(member_of(group), operator))) == shown
