from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from operators.actions import delete_operator
from operators.actors import Actor
from operators.errors import InvalidPayload, OperatorNotFound, PreconditionFailed
from operators.models import AuditEntry, OutboxEvent
from routing.errors import RateSheetNotFound
from routing.imports import uploading
from routing.imports.options import SheetOptions
from routing.imports.preview import preview_sheet, trial
from routing.models import RateSheet, RateSheetFile, RateSheetLine, RoutingRule, SheetStatus
from routing.ratesheets.limits import MOST_BYTES
from routing.ratesheets.lines import Column, ColumnMap
from tests.factories import ALICE, make_operator
from tests.routing.cast import make_destination, make_rule
from tests.routing.imports.cast import DECEMBER, FEBRUARY, JANUARY, content, kinds, lines_of, previewed, row

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_tells_what_every_line_would_do() -> None:
    operator = make_operator()
    for prefix in ("+441", "+442", "+443", "+444", "+449"):
        make_rule(operator, prefix=prefix, cost_per_segment=Decimal("0.04"))
    before = list(RoutingRule.objects.values())

    sheet = previewed(
        operator,
        row("+441", "0.05"),
        row("+442", "0.03"),
        row("+443", "0.04", currency="USD"),
        row("+444", "0.0400"),
        row("+445", "0.01"),
        row("+446", "free"),
    )

    assert lines_of(sheet) == {
        "+441": "dearer",
        "+442": "cheaper",
        "+443": "currencyChanged",
        "+444": "unchanged",
        "+445": "new",
        "+446": "rejected",
    }
    assert kinds(sheet) == {
        "dearer": 1,
        "cheaper": 1,
        "currencyChanged": 1,
        "unchanged": 1,
        "new": 1,
        "rejected": 1,
    }
    assert (sheet.total, sheet.progress, sheet.accepted, sheet.missing) == (6, 6, 5, 1)
    assert sheet.status == SheetStatus.PREVIEWED
    assert list(RoutingRule.objects.values()) == before
    dearer = sheet.lines.get(prefix="+441")
    assert (dearer.line, dearer.old_cost, dearer.change_percent) == (2, Decimal("0.04"), Decimal(25))
    assert dearer.in_words() == "+441 from 0.040000 EUR to 0.050000 EUR (+25.00 %)"
    rejected = sheet.lines.rejected().get()
    assert (rejected.line, rejected.field, rejected.value) == (7, "cost", "free")


def test_it_compares_with_the_rule_in_force_when_the_line_begins() -> None:
    operator = make_operator()
    make_rule(operator, cost_per_segment=Decimal("0.04"), effective_to=JANUARY)
    make_rule(operator, cost_per_segment=Decimal("0.06"), effective_from=JANUARY, effective_to=FEBRUARY)
    make_rule(operator, cost_per_segment=Decimal("0.01"), effective_from=DECEMBER, active=False)

    assert lines_of(previewed(operator, row("+4479", "0.05", start=DECEMBER))) == {"+4479": "dearer"}
    assert lines_of(previewed(operator, row("+4479", "0.05", start=JANUARY))) == {"+4479": "cheaper"}
    assert lines_of(previewed(operator, row("+4479", "0.05", start=FEBRUARY))) == {"+4479": "new"}


def test_it_takes_a_network_for_a_key_of_its_own() -> None:
    operator = make_operator()
    make_rule(operator, cost_per_segment=Decimal("0.04"), mcc="234", mnc="10")
    make_rule(make_operator(), cost_per_segment=Decimal("0.01"))

    sheet = previewed(operator, row("+4479", "0.05"), row("+4479", "0.05", mcc="234", mnc="10"))

    assert list(sheet.lines.order_by("line").values_list("kind", flat=True)) == ["new", "dearer"]


def test_it_orders_changes_by_their_size_and_puts_what_was_free_first() -> None:
    operator = make_operator()
    for prefix, cost in (("+441", "0"), ("+442", "0.10"), ("+443", "0.10")):
        make_rule(operator, prefix=prefix, cost_per_segment=Decimal(cost))

    sheet = previewed(operator, row("+441", "0.01"), row("+442", "0.12"), row("+443", "0.05"))

    biggest = sheet.lines.repriced().biggest_first()
    assert [line.prefix for line in biggest] == ["+441", "+443", "+442"]
    assert [line.as_change()["changePercent"] for line in biggest] == [None, -50, 20]
    assert {line.prefix for line in sheet.lines.large(30)} == {"+441", "+443"}


def test_it_counts_what_the_sheet_leaves_out_and_ends_it_only_in_a_full_one() -> None:
    operator = make_operator()
    make_rule(operator, prefix="+441")
    make_rule(operator, prefix="+442", effective_to=DECEMBER)
    make_rule(operator, prefix="+443", effective_from=JANUARY)
    make_rule(operator, prefix="+444", active=False)
    make_rule(operator, prefix="+445")
    lines = (row("+446", "0.01"), row("+445", "broken"))

    partial, full = previewed(operator, *lines), previewed(operator, *lines, options=SheetOptions(is_full=True))

    assert (partial.missing, kinds(partial)) == (2, {"new": 1, "rejected": 1})
    assert (full.missing, kinds(full)) == (2, {"new": 1, "rejected": 1, "ended": 2})
    ended = full.lines.filter(kind="ended").order_by("prefix")
    assert [(line.line, line.prefix, line.effective_to) for line in ended] == [
        (None, "+441", DECEMBER),
        (None, "+443", DECEMBER),
    ]
    later = previewed(operator, *lines, options=SheetOptions(is_full=True, missing_end_at=FEBRUARY))
    assert set(later.lines.filter(kind="ended").values_list("effective_to", flat=True)) == {FEBRUARY}


def test_it_ends_nothing_for_a_sheet_without_any_price() -> None:
    operator = make_operator()
    make_rule(operator)

    sheet = previewed(operator, row("+445", "broken"), options=SheetOptions(is_full=True))

    assert (sheet.missing, kinds(sheet)) == (0, {"rejected": 1})


def test_it_rejects_a_line_that_repeats_an_earlier_one_and_says_which() -> None:
    sheet = previewed(
        make_operator(),
        row("+441", "0.01", end=JANUARY),
        row("+441", "0.02", mcc="234"),
        row("+441", "0.03", start=JANUARY),
    )

    [line] = sheet.lines.rejected()
    assert (line.line, line.prefix, line.field, line.reason) == (4, "+441", "duplicate", "The line repeats line 2.")


def test_it_rejects_an_mcc_of_another_country_than_the_prefix() -> None:
    make_destination("+44", "GB")
    make_destination("+441481", "GG")
    make_destination("+4915", "DE")
    sheet = previewed(
        make_operator(),
        row("+4479", "0.01", mcc="234"),
        row("+4479", "0.01", mcc="262"),
        row("+441481", "0.01", mcc="262", mnc="01"),
        row("+49", "0.01", mcc="262"),
        row("+49", "0.01", mcc="234"),
        row("+999", "0.01", mcc="234"),
        row("+44", "0.01", mcc="999"),
    )

    rejected = {line.line: line.reason for line in sheet.lines.rejected()}
    assert rejected[3] == "MCC 262 belongs to DE, but +4479 leads to GB."
    assert rejected.keys() == {3, 4, 6}
    assert set(sheet.lines.rejected().values_list("field", "value")) == {("mcc", "262"), ("mcc", "234")}


def test_it_warns_of_what_is_easily_overlooked() -> None:
    operator = make_operator()
    make_rule(operator, effective_to=FEBRUARY)
    make_rule(operator, effective_from=FEBRUARY)
    make_rule(operator, prefix="+33")

    sheet = previewed(
        operator,
        row("+4479", "0.0415"),
        row("+441", "0.01", start=datetime(2020, 1, 1, tzinfo=UTC)),
        row("+442", "0.01", end=JANUARY),
        row("+449", "0.01"),
        options=SheetOptions(is_full=True),
    )

    assert sheet.warnings == [
        "Lines that begin in the past: 1; their prices count from then on.",
        "Lines with an end: 1; after it the sheet leaves their prefixes without a price.",
        "Prices that were to begin later: 1; the sheet replaces them.",
        "Prices that the sheet does not name: 1; they end.",
    ]


def test_it_warns_of_prices_that_longer_prefixes_never_let_win() -> None:
    operator = make_operator()
    for digit in range(9):
        make_rule(operator, prefix=f"+44{digit}", effective_to=FEBRUARY if digit == 0 else None)
    lines = [row("+44", "0.01"), row("+449", "0.02"), row("+33", "0.03"), row("+331", "0.04")]

    assert previewed(operator, *lines).warnings == [], "+440 leaves it in February"
    sheet = previewed(operator, *lines, row("+440", "0.05"))
    assert sheet.warnings == ["Prices that can never win: 1; longer prefixes cover every number of +44."]
    assert kinds(sheet) == {"new": 4, "dearer": 1}
    alone = previewed(operator, *lines, row("+440", "0.05"), options=SheetOptions(is_full=True))
    assert not any("never win" in warning for warning in alone.warnings), "the others end"


def test_it_makes_the_preview_again_with_another_map_and_other_options(actor: Actor) -> None:
    operator = make_operator()
    sheet = previewed(operator, row("+441", "0.01", start=None, currency=""))
    line = sheet.lines.get()
    assert (line.currency, line.effective_from) == ("USD", sheet.default_effective_from)

    again = preview_sheet(
        actor=actor, sheet_id=sheet.pk, options=SheetOptions(currency="GBP", effective_from=JANUARY, is_full=True)
    )

    line = again.lines.get()
    assert (line.currency, line.effective_from) == ("GBP", JANUARY)
    assert RateSheet.objects.get().is_full
    assert RateSheetLine.objects.count() == 1


def test_it_tells_of_its_progress(actor: Actor) -> None:
    operator = make_operator()
    sheet = uploading.upload_sheet(
        actor=actor,
        operator_id=operator.pk,
        filename="C:\\prices\\new.csv",
        content=content(*(row(f"+44{number}", "0.01") for number in range(10_000, 17_000))),
    )
    told: list[tuple[int, int]] = []

    def listen(count: int) -> None:
        told.append((count, RateSheet.objects.get().progress))

    preview_sheet(actor=actor, sheet_id=sheet.pk, on_progress=listen)

    assert told == [(5_000, 5_000), (7_000, 7_000)]
    assert sheet.filename == "new.csv"


@pytest.mark.parametrize("options", [SheetOptions(currency="EURO"), SheetOptions(missing_end_at=JANUARY)])
def test_it_refuses_what_no_sheet_can_mean(options: SheetOptions) -> None:
    with pytest.raises(InvalidPayload):
        previewed(make_operator(), row("+441", "0.01"), options=options)
    assert not RateSheet.objects.exists()


def test_it_refuses_a_file_that_is_no_sheet_and_one_that_is_too_large(actor: Actor) -> None:
    operator = make_operator()

    def upload(file: bytes) -> str:
        with pytest.raises(InvalidPayload) as refused:
            uploading.upload_sheet(actor=actor, operator_id=operator.pk, filename="prices.csv", content=file)
        [problem] = refused.value.problems
        return problem.field

    assert upload(b"") == "file"
    assert upload(content(row("+441", "0.01")) + b"\n" * MOST_BYTES) == "file"
    assert not RateSheet.objects.exists()


def test_it_asks_which_column_is_which_where_no_title_says_so(actor: Actor) -> None:
    operator = make_operator()
    sheet = uploading.upload_sheet(
        actor=actor, operator_id=operator.pk, filename="prices.csv", content=b"Ziel,Wert\n+441,0.01\n+442,0.02\n"
    )
    assert (sheet.has_columns, sheet.titles, sheet.sample[0]) == (False, ["Ziel", "Wert"], ["+441", "0.01"])

    with pytest.raises(InvalidPayload) as refused:
        preview_sheet(actor=actor, sheet_id=sheet.pk)
    assert [problem.field for problem in refused.value.problems] == ["columnMap"]

    told = ColumnMap({Column.PREFIX: 0, Column.COST: 1}, header_line=sheet.column_map["headerLine"])
    assert kinds(preview_sheet(actor=actor, sheet_id=sheet.pk, column_map=told)) == {"new": 2}


def test_a_file_that_breaks_half_way_says_so(actor: Actor) -> None:
    operator = make_operator()
    rows = [row(f"+44{number}", "0.01") for number in range(10_000, 16_000)]
    sheet = uploading.upload_sheet(
        actor=actor, operator_id=operator.pk, filename="prices.csv", content=content(*rows, "+45," + "9" * 2_000)
    )

    with pytest.raises(InvalidPayload) as refused:
        preview_sheet(actor=actor, sheet_id=sheet.pk)

    assert [problem.field for problem in refused.value.problems] == ["file"]
    sheet.refresh_from_db()
    assert (sheet.status, sheet.progress, sheet.lines.count()) == ("FAILED", 5_000, 0)
    assert sheet.failure == refused.value.problems[0].message
    assert uploading.discard_sheet(actor=actor, sheet_id=sheet.pk)


def test_it_knows_no_operators_and_sheets_that_are_gone(actor: Actor) -> None:
    operator = make_operator()
    sheet = previewed(operator, row("+441", "0.01"))
    delete_operator(actor=actor, operator_id=operator.pk)

    with pytest.raises(OperatorNotFound):
        previewed(operator, row("+441", "0.01"))
    with pytest.raises(RateSheetNotFound):
        preview_sheet(actor=actor, sheet_id=sheet.pk)


def test_it_throws_away_what_was_not_applied_for_a_week() -> None:
    operator = make_operator()
    old = previewed(operator, row("+441", "0.01"))
    RateSheet.objects.update(uploaded_at=timezone.now() - timedelta(days=7, minutes=1))

    new = previewed(operator, row("+441", "0.01"))

    assert RateSheet.objects.get().pk == new.pk
    assert not RateSheetFile.objects.filter(pk=old.pk).exists()
    assert not RateSheetLine.objects.filter(sheet_id=old.pk).exists()
    uploaded, thrown_away = AuditEntry.objects.filter(operator=operator, object_type="rate_sheet")[:2]
    assert (thrown_away.action, thrown_away.actor, thrown_away.object_id) == (
        "discard_rate_sheet",
        "retention",
        str(old.pk),
    )
    assert (uploaded.action, uploaded.object_id) == ("upload_rate_sheet", str(new.pk))
    assert uploaded.changes == {"file": ["", new.filename]}


def test_a_trial_leaves_nothing_behind(actor: Actor) -> None:
    operator = make_operator()
    file = content(row("+441", "0.01"))

    with trial(actor=actor, operator_id=operator.pk, filename="prices.csv", content=file) as sheet:
        assert kinds(sheet) == {"new": 1}
    with (
        pytest.raises(ZeroDivisionError),
        trial(actor=actor, operator_id=operator.pk, filename="prices.csv", content=file),
    ):
        raise ZeroDivisionError

    assert not RateSheet.objects.exists()
    assert not RateSheetLine.objects.exists()
    assert OutboxEvent.objects.filter(operator_id=operator.pk).count() == 1
    told = AuditEntry.objects.filter(object_type="rate_sheet", actor=actor.name).order_by("id")
    assert [entry.action for entry in told] == ["upload_rate_sheet", "discard_rate_sheet"] * 2


def test_it_makes_no_preview_of_what_is_applied(actor: Actor) -> None:
    sheet = previewed(make_operator(), row("+441", "0.01"))
    RateSheet.objects.update(status=SheetStatus.APPLIED, applied_at=timezone.now())

    with pytest.raises(PreconditionFailed):
        preview_sheet(actor=ALICE, sheet_id=sheet.pk)
    assert not uploading.discard_sheet(actor=actor, sheet_id=sheet.pk)
    assert sheet.lines.count() == 1
