from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from health.models import HealthReport, HealthStatus, WindowKind
from operators.models import Operator, Status
from tests.health.board import BOARD, open_window, put, report
from tests.operators.console import member_of

pytestmark = pytest.mark.django_db


def names(response: Any) -> list[str]:
    assert response.status_code == 200
    return [line.status.operator.name for line in response.context["cl"].lines]


def row(client: Client, name: str) -> str:
    """Return the row of one operator as a text without tags."""
    html = client.get(BOARD).content.decode()
    found = next(part for part in re.findall(r"<tr class=.*?</tr>", html, re.DOTALL) if name in part)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))


def queries(client: Client, url: str = BOARD) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_it_tells_state_reason_and_figures_of_an_operator(staff_client: Client) -> None:
    put(
        "Comium",
        "UNHEALTHY",
        bind_state="UNBOUND",
        bind_error="ESME_RBINDFAIL",
        error_rate=0.213,
        latency_ms=1500,
        reason="BIND_LOST",
        age=timedelta(seconds=12),
    )

    text = row(staff_client, "Comium")

    for shown in ("Unhealthy", "bind lost", "above 20 %: 21.3 %", "Unbound", "ESME_RBINDFAIL", "1,500 ms", "s ago"):
        assert shown in text


def test_it_links_the_page_of_the_operators_health(staff_client: Client) -> None:
    status = put("Comium")

    assert f'href="{BOARD}{status.pk}/change/"' in staff_client.get(BOARD).content.decode()


def test_it_shows_dashes_for_an_operator_that_never_reported(staff_client: Client) -> None:
    put("Silent", "UNKNOWN", age=None)

    text = row(staff_client, "Silent")

    assert "Unknown" in text and "never reported" in text and "no reports" in text
    assert text.count("—") >= 4


@pytest.mark.parametrize(
    ("seconds", "status", "is_late"),
    [(20, Status.ACTIVE, False), (40, Status.ACTIVE, True), (40, Status.INACTIVE, False)],
    ids=["fresh", "late", "late-but-inactive"],
)
def test_it_warns_of_a_report_that_is_overdue(
    staff_client: Client, seconds: int, status: Status, is_late: bool
) -> None:
    put("Comium", status=status, age=timedelta(seconds=seconds))

    assert ('class="late"' in staff_client.get(BOARD).content.decode()) is is_late


def test_it_tells_who_decided_a_state_until_when_and_what_is_measured(staff_client: Client) -> None:
    now = timezone.now()
    open_window(put("In works"), WindowKind.MAINTENANCE, "UNHEALTHY")
    overridden = put("Trusted", "DEGRADED")
    open_window(overridden, WindowKind.OVERRIDE, "HEALTHY", ends_at=now + timedelta(days=3), opened_by="dora")

    works, trusted = row(staff_client, "In works"), row(staff_client, "Trusted")

    assert "Unhealthy maintenance until" in works and "measured healthy" in works
    assert "override by dora until" in trusted and "measured degraded" in trusted
    assert f"{now + timedelta(days=3):%d %b}" in trusted
    assert "Carrier works (dora)" in staff_client.get(BOARD).content.decode()


def test_it_stops_speaking_of_a_window_that_was_closed(staff_client: Client) -> None:
    window = open_window(put("Comium"), WindowKind.MAINTENANCE, "UNHEALTHY")
    window.ended_at = timezone.now()
    window.save(update_fields=["ended_at"])

    assert "until" not in row(staff_client, "Comium")
    assert staff_client.get(BOARD).context["summary"].decided == 0


def test_it_puts_the_worst_first_and_active_operators_before_others(staff_client: Client) -> None:
    put("Healthy")
    put("Unknown", "UNKNOWN")
    put("Degraded", "DEGRADED")
    put("Unhealthy inactive", "UNHEALTHY", status=Status.INACTIVE)
    put("Unhealthy suspended", "UNHEALTHY", status=Status.SUSPENDED)
    put("Unhealthy B", "UNHEALTHY")
    put("Unhealthy A", "UNHEALTHY")

    assert names(staff_client.get(BOARD)) == [
        "Unhealthy A",
        "Unhealthy B",
        "Unhealthy suspended",
        "Unhealthy inactive",
        "Degraded",
        "Unknown",
        "Healthy",
    ]


@pytest.mark.parametrize(
    ("order", "found"),
    [
        pytest.param("name", ["Calm", "Mute", "Noisy"], id="name"),
        pytest.param("-name", ["Noisy", "Mute", "Calm"], id="name-reversed"),
        pytest.param("state", ["Noisy", "Mute", "Calm"], id="state"),
        pytest.param("-state", ["Calm", "Mute", "Noisy"], id="state-reversed"),
        pytest.param("error_rate", ["Noisy", "Calm", "Mute"], id="error-rate"),
        pytest.param("-error_rate", ["Calm", "Noisy", "Mute"], id="error-rate-reversed"),
        pytest.param("latency", ["Noisy", "Calm", "Mute"], id="latency"),
        pytest.param("last_report", ["Noisy", "Calm", "Mute"], id="oldest-report"),
        pytest.param("since", ["Calm", "Noisy", "Mute"], id="newest-state"),
        pytest.param("bind", ["Noisy", "Calm", "Mute"], id="bind"),
        pytest.param("sparkline", ["Noisy", "Mute", "Calm"], id="column-that-does-not-sort"),
        pytest.param("nonsense", ["Noisy", "Mute", "Calm"], id="nonsense"),
        pytest.param("", ["Noisy", "Mute", "Calm"], id="empty"),
    ],
)
def test_it_sorts_by_a_column(staff_client: Client, order: str, found: list[str]) -> None:
    put("Calm", error_rate=0.0, latency_ms=10)
    put(
        "Noisy",
        "UNHEALTHY",
        error_rate=0.5,
        latency_ms=900,
        bind_state="UNBOUND",
        age=timedelta(seconds=50),
    )
    put("Mute", "UNKNOWN", age=None)

    response = staff_client.get(f"{BOARD}?o={order}")

    assert names(response) == found


def test_it_marks_the_column_that_sorts(staff_client: Client) -> None:
    put("Comium")

    html = staff_client.get(f"{BOARD}?o=error_rate&state=HEALTHY").content.decode()

    assert re.search(r'column-error_rate" aria-sort="descending"><a href="\?o=-error_rate&amp;state=HEALTHY"', html)
    assert html.count("aria-sort") == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("state=UNHEALTHY", ["Comium"], id="state"),
        pytest.param("status=ACTIVE", ["Comium", "Trusted"], id="active"),
        pytest.param("status=SUSPENDED", ["Paused"], id="suspended"),
        pytest.param("window=maintenance", ["Comium"], id="maintenance"),
        pytest.param("window=override", ["Trusted"], id="override"),
        pytest.param("window=any", ["Comium", "Trusted"], id="either"),
        pytest.param("tag=premium", ["Paused"], id="tag"),
        pytest.param("tag=nobody", [], id="unknown-tag"),
        pytest.param("q=comi", ["Comium"], id="name"),
        pytest.param("q=paused.example", ["Paused"], id="host"),
        pytest.param("q=acc_paused", ["Paused"], id="system_id"),
        pytest.param("q=premium", ["Paused"], id="a-whole-tag"),
        pytest.param("q=nothing", [], id="nothing"),
        pytest.param("q=%25", [], id="no-wildcard"),
        pytest.param("state=NONSENSE&status=&window=7", ["Comium", "Paused", "Trusted"], id="values-nobody-offers"),
        pytest.param("state=UNHEALTHY&status=SUSPENDED", [], id="both"),
    ],
)
def test_it_filters_and_searches(staff_client: Client, query: str, found: list[str]) -> None:
    open_window(put("Comium"), WindowKind.MAINTENANCE, "UNHEALTHY")
    open_window(put("Trusted", "DEGRADED"), WindowKind.OVERRIDE, "HEALTHY")
    paused = put("Paused", status=Status.SUSPENDED, tags=["premium"])
    Operator.objects.filter(pk=paused.pk).update(host="smpp.paused.example", system_id="acc_paused")

    assert sorted(names(staff_client.get(f"{BOARD}?{query}"))) == found


@pytest.mark.parametrize("parameter", ["q", "state", "status", "window", "tag", "o", "p", "effective_state__exact"])
@pytest.mark.parametrize(
    "value", ["\0", "\U0001f600", "'", "-", "9" * 400], ids=["NUL", "emoji", "quote", "dash", "huge-number"]
)
def test_it_answers_to_junk_without_an_error_of_its_own(staff_client: Client, parameter: str, value: str) -> None:
    put("Comium")

    assert staff_client.get(f"{BOARD}?{parameter}={quote(value)}").status_code in {200, 302, 400}


@pytest.mark.parametrize(
    "address",
    [
        "operators/operator/?tag=%00",
        "operators/operator/?status__exact=%00",
        "operators/auditentry/?actor=%00",
        "operators/outboxevent/?subject=%00",
        "auth/user/?q=a&username=%00",
        "autocomplete/?app_label=operators&model_name=operator&field_name=backup_operator&term=%00",
    ],
    ids=["tag", "status", "actor", "subject", "user", "autocomplete"],
)
def test_it_refuses_nul_on_every_page_of_the_console(staff_client: Client, address: str) -> None:
    assert staff_client.get(f"/admin/{address}").status_code == 400


def test_it_never_shows_a_deleted_operator(staff_client: Client) -> None:
    put("Live")
    gone = put("Gone", "UNHEALTHY")
    Operator.objects.filter(pk=gone.pk).update(deleted_at=timezone.now(), status=Status.INACTIVE)

    response = staff_client.get(BOARD)

    assert names(response) == ["Live"]
    assert (response.context["summary"].live, response.context["summary"].unhealthy) == (1, 0)


def test_it_counts_operators_by_state_whatever_the_filter(staff_client: Client) -> None:
    for state in ("UNHEALTHY", "DEGRADED", "DEGRADED", "UNKNOWN", "HEALTHY", "HEALTHY", "HEALTHY"):
        put(f"Of {state} {Operator.objects.count()}", state)
    open_window(put("Works"), WindowKind.MAINTENANCE, "UNHEALTHY")

    summary = staff_client.get(f"{BOARD}?state=HEALTHY").context["summary"]

    counts = (summary.live, summary.unhealthy, summary.degraded, summary.unknown, summary.healthy, summary.decided)
    assert counts == (8, 2, 2, 1, 3, 1)


@pytest.mark.parametrize(
    ("age", "notice"),
    [
        (timedelta(seconds=20), ""),
        (timedelta(minutes=3), "No report has come in since"),
        (None, "No report has come in"),
    ],
    ids=["running", "stopped", "never-begun"],
)
def test_it_says_when_no_reports_come_in_at_all(staff_client: Client, age: timedelta | None, notice: str) -> None:
    put("Comium", age=age)
    put("Older", age=None if age is None else age + timedelta(days=1))

    html = staff_client.get(BOARD).content.decode()

    assert ("No report has come in" in html) is bool(notice)
    assert notice in html


def test_it_draws_the_last_hour_of_the_operators_on_the_page(staff_client: Client) -> None:
    status = put("Comium")
    now = timezone.now()
    HealthReport.objects.bulk_create(
        [report(status, now, error_rate=0.3), report(status, now - timedelta(minutes=30), bind_state="UNBOUND")]
    )

    html = staff_client.get(BOARD).content.decode()

    assert "at worst 30.0 %, lately 30.0 %, bind lost in 2 minutes" in html
    assert html.count('class="spark"') == 1


def test_it_reads_the_log_of_the_operators_on_the_page_alone(staff_client: Client) -> None:
    shown, hidden = put("Shown", "UNHEALTHY"), put("Hidden")
    HealthReport.objects.bulk_create([report(shown, timezone.now()), report(hidden, timezone.now())])

    with CaptureQueriesContext(connection) as captured:
        staff_client.get(f"{BOARD}?q=Shown")

    (log,) = [each["sql"] for each in captured if "operator_health_log" in each["sql"]]
    assert shown.pk.hex in log.replace("-", "") and hidden.pk.hex not in log.replace("-", "")


def test_it_escapes_what_others_wrote(staff_client: Client) -> None:
    hostile = "<script>alert(1)</script>"
    open_window(
        put(hostile, "UNHEALTHY", bind_state="UNBOUND", bind_error=f'"{hostile}'),
        WindowKind.OVERRIDE,
        "DEGRADED",
        reason=f'" onmouseover="{hostile}',
        opened_by=f"'{hostile}",
    )

    html = staff_client.get(f"{BOARD}?q={quote(hostile)}").content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert hostile not in html and '" onmouseover' not in html


def test_it_costs_the_same_queries_for_three_and_for_sixty(staff_client: Client) -> None:
    def add(number: int) -> None:
        for index in range(number):
            status = put(f"Telco {number} {index}", "UNHEALTHY" if index % 2 else "HEALTHY", tags=["otp"])
            HealthReport.objects.bulk_create([report(status, timezone.now())])
            if index % 3 == 0:
                open_window(status, WindowKind.MAINTENANCE, "UNHEALTHY")

    add(3)
    few = queries(staff_client)
    add(57)

    assert HealthStatus.objects.count() == 60
    assert queries(staff_client) == few <= 8
    assert queries(staff_client, f"{BOARD}?p=2&o=-name") == few


def test_it_turns_pages_of_fifty(staff_client: Client) -> None:
    for index in range(60):
        put(f"Telco {index:02}")

    assert len(names(staff_client.get(f"{BOARD}?o=name"))) == 50
    second = staff_client.get(f"{BOARD}?o=name&p=2")
    assert names(second) == [f"Telco {index}" for index in range(50, 60)]
    assert "60 operators" in second.content.decode()
    assert len(names(staff_client.get(f"{BOARD}?all="))) == 50


def test_it_is_for_those_who_may_see_health() -> None:
    put("Comium", "UNHEALTHY")
    get_user_model().objects.create_user("nobody", is_staff=True)
    stranger = Client()
    stranger.force_login(get_user_model().objects.get(username="nobody"))

    assert stranger.get(BOARD).status_code == 403
    assert BOARD not in stranger.get("/admin/").content.decode()
    assert Client().get(BOARD).status_code == 302


def test_it_welcomes_a_viewer_and_leads_there_from_the_overview() -> None:
    status = put("Comium", "UNHEALTHY")
    viewer = member_of("Viewer")

    assert names(viewer.get(BOARD)) == ["Comium"]
    overview = viewer.get("/admin/").content.decode()
    assert f'<a href="{BOARD}">Health board</a>' in overview
    assert f"{BOARD}{status.pk}/change/" in overview


def test_it_says_so_when_nothing_fits(staff_client: Client) -> None:
    assert "No operator fits here yet." in staff_client.get(BOARD).content.decode()
    assert '<a href="?">show all</a>' in staff_client.get(f"{BOARD}?q=nothing").content.decode()
