from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from operators.actors import Actor
from operators.changes import lock_operator
from operators.errors import InvalidPayload, OperatorError, PreconditionFailed
from operators.models import AuditEntry, Operator, OutboxEvent
from routing import actions
from routing.errors import RateChangeUnconfirmed
from routing.imports import uploading
from routing.imports.applying import apply_sheet
from routing.imports.locking import hold_rules
from routing.imports.options import SheetOptions
from routing.imports.preview import preview_sheet
from routing.models import RateSheet, RateSheetFile, RateSheetProfile, RoutingRule
from tests.factories import ALICE, make_operator
from tests.routing.cast import make_rule
from tests.routing.imports.cast import (
    FEBRUARY,
    JANUARY,
    applied,
    content,
    lines_of,
    previewed,
    prices,
    row,
    snapshot,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_old_price_ends_where_the_new_one_begins() -> None:
    operator = make_operator()
    old = make_rule(operator, priority=3, weight=7)

    sheet = applied(operator, row("+4479", "0.05"), row("+4478", "0.02", mcc="234", mnc="10"))

    assert prices(operator) == [
        "+4478 234/10: 0.020000 EUR, priority 10, weight 100, 2126-12-01T00:00Z/",
        "+4479: 0.050000 EUR, priority 3, weight 7, 2126-12-01T00:00Z/",
        "+4479: 0.041500 EUR, priority 3, weight 7, /2126-12-01T00:00Z",
    ]
    old.refresh_from_db()
    assert (old.version, old.updated_by, old.updated_at) == (2, "alice", sheet.applied_at)
    made = RoutingRule.objects.get(prefix="+4478")
    assert (made.rate_sheet, made.version, made.created_by, made.updated_at) == (sheet, 1, "alice", sheet.applied_at)
    assert (sheet.counts["made"], sheet.counts["touched"]) == (2, 1)


def test_prices_that_were_to_begin_later_give_way() -> None:
    operator = make_operator()
    make_rule(operator, effective_to=JANUARY)
    make_rule(operator, cost_per_segment=Decimal("0.06"), effective_from=JANUARY)

    applied(operator, row("+4479", "0.05"))

    assert prices(operator) == [
        "+4479: 0.050000 EUR, priority 10, weight 100, 2126-12-01T00:00Z/",
        "+4479: 0.060000 EUR, priority 10, weight 100, 2127-01-01T00:00Z/, inactive",
        "+4479: 0.041500 EUR, priority 10, weight 100, /2126-12-01T00:00Z",
    ]


def test_a_price_with_an_end_leaves_those_alone_that_begin_after_it() -> None:
    operator = make_operator()
    make_rule(operator, effective_to=FEBRUARY)
    make_rule(operator, cost_per_segment=Decimal("0.06"), effective_from=FEBRUARY, priority=2)

    applied(operator, row("+4479", "0.05", end=JANUARY))

    assert prices(operator) == [
        "+4479: 0.050000 EUR, priority 10, weight 100, 2126-12-01T00:00Z/2127-01-01T00:00Z",
        "+4479: 0.060000 EUR, priority 2, weight 100, 2127-02-01T00:00Z/",
        "+4479: 0.041500 EUR, priority 10, weight 100, /2126-12-01T00:00Z",
    ]


def test_a_new_price_takes_the_place_of_the_one_that_it_overtakes() -> None:
    operator = make_operator()
    make_rule(operator, effective_from=JANUARY, priority=2, weight=5)

    applied(operator, row("+4479", "0.05"))

    assert prices(operator)[0] == "+4479: 0.050000 EUR, priority 2, weight 5, 2126-12-01T00:00Z/"


def test_the_same_day_can_be_priced_again() -> None:
    operator = make_operator()
    applied(operator, row("+4479", "0.05"))

    sheet = applied(operator, row("+4479", "0.06"))

    assert lines_of(sheet) == {"+4479": "dearer"}
    assert prices(operator) == [
        "+4479: 0.050000 EUR, priority 10, weight 100, 2126-12-01T00:00Z/, inactive",
        "+4479: 0.060000 EUR, priority 10, weight 100, 2126-12-01T00:00Z/",
    ]


def test_a_price_that_stays_writes_nothing_and_one_that_stays_longer_does() -> None:
    operator = make_operator()
    make_rule(operator, prefix="+441")
    make_rule(operator, prefix="+442", effective_to=JANUARY)
    make_rule(operator, prefix="+442", effective_from=JANUARY, cost_per_segment=Decimal("0.09"))

    sheet = applied(operator, row("+441", "0.0415"), row("+442", "0.0415"))

    assert lines_of(sheet) == {"+441": "unchanged", "+442": "unchanged"}
    assert prices(operator) == [
        "+441: 0.041500 EUR, priority 10, weight 100",
        "+442: 0.041500 EUR, priority 10, weight 100, 2126-12-01T00:00Z/",
        "+442: 0.090000 EUR, priority 10, weight 100, 2127-01-01T00:00Z/, inactive",
        "+442: 0.041500 EUR, priority 10, weight 100, /2126-12-01T00:00Z",
    ]


def test_a_sheet_that_changes_nothing_raises_no_version() -> None:
    operator = make_operator()
    make_rule(operator)
    before = snapshot(operator)

    sheet = applied(operator, row("+4479", "0.0415"))

    assert (sheet.status, sheet.applied_version) == ("APPLIED", 2)
    assert snapshot(operator) == before
    assert OutboxEvent.objects.filter(operator_id=operator.pk).count() == 2


def test_a_full_sheet_ends_what_it_does_not_name() -> None:
    operator = make_operator()
    make_rule(operator, prefix="+441")
    make_rule(operator, prefix="+442", effective_from=JANUARY)
    make_rule(operator, prefix="+443")
    make_rule(operator, prefix="+443", mcc="234")
    other = make_rule(make_operator())

    applied(operator, row("+444", "0.05"), row("+443", "broken"), options=SheetOptions(is_full=True))

    assert prices(operator) == [
        "+441: 0.041500 EUR, priority 10, weight 100, /2126-12-01T00:00Z",
        "+442: 0.041500 EUR, priority 10, weight 100, 2127-01-01T00:00Z/, inactive",
        "+443: 0.041500 EUR, priority 10, weight 100",
        "+443 234: 0.041500 EUR, priority 10, weight 100",
        "+444: 0.050000 EUR, priority 10, weight 100, 2126-12-01T00:00Z/",
    ]
    other.refresh_from_db()
    assert (other.effective_to, other.version) == (None, 1)


def test_thousands_of_prices_are_one_version_and_one_event() -> None:
    operator = make_operator()
    make_rule(operator, prefix="+33")

    sheet = applied(operator, *(row(f"+44{number}", "0.05") for number in range(10_000, 15_000)))

    operator.refresh_from_db()
    assert (operator.version, sheet.applied_version, operator.updated_by) == (3, 3, "alice")
    assert RoutingRule.objects.filter(rate_sheet=sheet).count() == 5_000
    entry = AuditEntry.objects.filter(operator=operator).first()
    assert entry is not None
    assert (entry.action, entry.version) == ("import_rate_sheet", 3)
    assert entry.changes == {"routingRules": [None, "rate sheet prices.csv: 5,000 new"]}
    event = OutboxEvent.objects.get(operator_id=operator.pk, version=3)
    assert (event.payload["changedFields"], event.payload["newValues"]) == (["routingRules"], {})


def test_it_remembers_how_the_sheet_was_read_and_keeps_no_file() -> None:
    operator = make_operator()

    sheet = applied(operator, row("+441", "0.05", currency=""), options=SheetOptions(currency="GBP"))

    assert not RateSheetFile.objects.exists()
    profile = RateSheetProfile.objects.get()
    assert (profile.column_map, profile.default_currency) == (sheet.column_map, "GBP")
    assert previewed(operator, row("+442", "0.05", currency="")).lines.get().currency == "GBP"


def test_large_changes_have_to_be_confirmed(actor: Actor) -> None:
    operator = make_operator()
    for prefix in ("+441", "+442", "+443", "+444"):
        make_rule(operator, prefix=prefix, cost_per_segment=Decimal("0.10"))
    before = snapshot(operator)
    sheet = previewed(
        operator,
        row("+441", "0.1301"),
        row("+442", "0.0699"),
        row("+443", "0.13"),
        row("+444", "0.10", currency="USD"),
    )

    with pytest.raises(RateChangeUnconfirmed) as refused:
        apply_sheet(actor=actor, sheet_id=sheet.pk)

    assert refused.value.members["total"] == 3
    assert {change["prefix"] for change in refused.value.members["changes"]} == {"+441", "+442", "+444"}
    assert "3 prices change by more than 30 %" in str(refused.value)
    assert snapshot(operator) == before
    assert apply_sheet(actor=actor, sheet_id=sheet.pk, confirm_large_changes=True).status == "APPLIED"


def test_it_refuses_when_something_changed_since_the_preview(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator)
    sheet = previewed(operator, row("+4479", "0.05"))
    actions.update_rule(actor=actor, rule_id=rule.pk, changes={"weight": 5})
    before = snapshot(operator)

    with pytest.raises(PreconditionFailed, match="version 3; the preview saw version 2"):
        apply_sheet(actor=actor, sheet_id=sheet.pk)

    assert snapshot(operator) == before
    preview_sheet(actor=actor, sheet_id=sheet.pk)
    assert apply_sheet(actor=actor, sheet_id=sheet.pk).status == "APPLIED"


def test_it_applies_only_what_was_previewed_and_only_once(actor: Actor) -> None:
    operator = make_operator()
    uploaded = uploading.upload_sheet(
        actor=actor, operator_id=operator.pk, filename="prices.csv", content=content(row("+441", "0.05"))
    )
    with pytest.raises(PreconditionFailed, match="UPLOADED"):
        apply_sheet(actor=actor, sheet_id=uploaded.pk)
    preview_sheet(actor=actor, sheet_id=uploaded.pk)
    apply_sheet(actor=actor, sheet_id=uploaded.pk)

    with pytest.raises(PreconditionFailed, match="APPLIED"):
        apply_sheet(actor=actor, sheet_id=uploaded.pk)
    assert RoutingRule.objects.count() == 1


def test_it_refuses_a_sheet_of_which_nothing_is_left(actor: Actor) -> None:
    sheet = previewed(make_operator(), row("+441", "free"))

    with pytest.raises(InvalidPayload):
        apply_sheet(actor=actor, sheet_id=sheet.pk)
    assert not RateSheetProfile.objects.exists()


@pytest.fixture
def broken_profiles() -> Iterator[None]:
    """Let the database refuse what an application writes last."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'disk full'; END $$;"
            f"CREATE TRIGGER refuse BEFORE INSERT ON {RateSheetProfile._meta.db_table} EXECUTE FUNCTION refuse()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION refuse CASCADE")


@pytest.mark.usefixtures("broken_profiles")
def test_a_failure_at_the_very_end_leaves_nothing_half_done(actor: Actor) -> None:
    operator = make_operator()
    make_rule(operator)
    make_rule(operator, prefix="+441")
    sheet = previewed(operator, row("+4479", "0.05"), row("+442", "0.01"), options=SheetOptions(is_full=True))
    before = snapshot(operator)

    with pytest.raises(DatabaseError, match="disk full"):
        apply_sheet(actor=actor, sheet_id=sheet.pk)

    assert snapshot(operator) == before
    operator.refresh_from_db()
    assert operator.version == 3
    assert OutboxEvent.objects.filter(operator_id=operator.pk).count() == 3
    sheet.refresh_from_db()
    assert (sheet.status, sheet.endings.count()) == ("PREVIEWED", 0)
    assert RateSheetFile.objects.filter(pk=sheet.pk).exists()


def in_threads(*works: Any) -> list[str]:
    """Do several things at the same time, each with a connection of its own, and tell how each ended."""
    start = threading.Barrier(len(works))
    ends: list[str] = [""] * len(works)

    def run(index: int) -> None:
        try:
            start.wait(10)
            works[index]()
            ends[index] = "done"
        except OperatorError as error:
            ends[index] = error.code
        except Exception as error:
            ends[index] = type(error).__name__
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return ends


def test_of_two_imports_at_once_the_second_is_refused(actor: Actor) -> None:
    operator = make_operator()
    sheets = [
        previewed(operator, *(row(f"+44{number}", cost) for number in range(10_000, 12_000)))
        for cost in ("0.05", "0.06")
    ]

    ends = in_threads(*(lambda sheet=sheet: apply_sheet(actor=actor, sheet_id=sheet.pk) for sheet in sheets))

    assert sorted(ends) == ["PRECONDITION_FAILED", "done"]
    assert RoutingRule.objects.count() == 2_000
    assert sorted(RateSheet.objects.values_list("status", flat=True)) == ["APPLIED", "PREVIEWED"]
    operator.refresh_from_db()
    assert operator.version == 2


def test_somebody_who_changes_a_rule_meanwhile_comes_before_or_after(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator, prefix="+33")
    sheet = previewed(operator, *(row(f"+44{number}", "0.05") for number in range(10_000, 12_000)))

    def change(weight: int) -> None:
        actions.update_rule(actor=ALICE, rule_id=rule.pk, changes={"weight": weight})

    applying, *changing = in_threads(
        lambda: apply_sheet(actor=actor, sheet_id=sheet.pk), lambda: change(5), lambda: change(6)
    )

    assert changing == ["done", "done"]
    assert applying in {"done", "PRECONDITION_FAILED"}
    operator.refresh_from_db()
    assert operator.version == (5 if applying == "done" else 4)
    assert RoutingRule.objects.count() == (2_001 if applying == "done" else 1)


def test_health_does_not_wait_while_rules_are_written(actor: Actor) -> None:
    operator = make_operator()

    def mark_healthy() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            Operator.objects.select_for_update(no_key=True).get(pk=operator.pk)
            Operator.objects.filter(pk=operator.pk).update(health_state="HEALTHY")

    with transaction.atomic():
        hold_rules(operator.pk)
        assert in_threads(mark_healthy) == ["done"]
        assert in_threads(lambda: make_rule_within_a_second(operator)) == ["OperationalError"]
    assert in_threads(lambda: make_rule_within_a_second(operator)) == ["done"]


def test_an_import_passes_by_whoever_waits_for_it(actor: Actor) -> None:
    operator = make_operator()
    waiting = threading.Thread(target=make_rule_and_hang_up, args=(operator,))

    with transaction.atomic():
        hold_rules(operator.pk)
        waiting.start()
        with connection.cursor() as cursor:
            while waiting.is_alive():
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype <> 'relation'")
                if cursor.fetchone() == (1,):
                    break
        assert lock_operator(operator.pk).version == 1
    waiting.join(10)

    assert RoutingRule.objects.count() == 1


def make_rule_and_hang_up(operator: Operator) -> None:
    make_rule(operator)
    connection.close()


def make_rule_within_a_second(operator: Operator) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '1s'")
    make_rule(operator)
