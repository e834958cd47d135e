from __future__ import annotations

from decimal import Decimal

import pytest

from operators.actors import Actor
from operators.errors import PreconditionFailed
from operators.models import AuditEntry, Operator, OutboxEvent
from routing import actions
from routing.errors import RateSheetTouched
from routing.imports.options import SheetOptions
from routing.imports.undoing import undo_sheet
from routing.models import RateSheet, RoutingRule
from tests.factories import make_operator
from tests.routing.cast import make_rule
from tests.routing.imports.cast import DECEMBER, JANUARY, applied, previewed, row, snapshot

pytestmark = pytest.mark.django_db(transaction=True)

FULL = SheetOptions(is_full=True)
SHEET = (row("+441", "0.05"), row("+442", "0.05"), row("+443", "0.05", currency="USD"), row("+444", "0.0415"))


def carrier_with_prices() -> Operator:
    operator = make_operator()
    for prefix in ("+441", "+444", "+445"):
        make_rule(operator, prefix=prefix)
    make_rule(operator, prefix="+443", effective_to=JANUARY, priority=3)
    make_rule(operator, prefix="+443", effective_from=JANUARY, cost_per_segment=Decimal("0.09"))
    make_rule(operator, prefix="+446", effective_from=JANUARY)
    make_rule(operator, prefix="+441", active=False)
    return operator


def test_it_restores_every_rule_exactly(actor: Actor) -> None:
    operator = carrier_with_prices()
    before = snapshot(operator)
    sheet = applied(operator, *SHEET, options=FULL)
    assert snapshot(operator) != before

    undone = undo_sheet(actor=actor, sheet_id=sheet.pk, reason="wrong file")

    assert snapshot(operator) == before
    assert (undone.status, undone.undone_by) == ("UNDONE", "alice")
    assert undone.lines.count() == 6
    operator.refresh_from_db()
    assert operator.version == 10
    entry = AuditEntry.objects.filter(operator=operator).first()
    assert entry is not None
    assert (entry.action, entry.reason) == ("undo_rate_sheet", "wrong file")
    assert entry.changes == {
        "routingRules": [
            "rate sheet prices.csv: 1 new, 1 dearer, 1 other currency, 1 unchanged, 2 ended",
            None,
        ]
    }
    assert OutboxEvent.objects.filter(operator_id=operator.pk, version=10).count() == 1


def test_it_undoes_imports_one_after_the_other_the_last_one_first(actor: Actor) -> None:
    operator = carrier_with_prices()
    states = [snapshot(operator)]
    sheets = []
    for cost in ("0.05", "0.06", "0.07"):
        sheets.append(applied(operator, row("+441", cost), row("+442", cost)))
        states.append(snapshot(operator))

    with pytest.raises(RateSheetTouched):
        undo_sheet(actor=actor, sheet_id=sheets[1].pk)
    for sheet in reversed(sheets):
        assert snapshot(operator) == states.pop()
        undo_sheet(actor=actor, sheet_id=sheet.pk)
    assert snapshot(operator) == states.pop()


def test_no_etag_comes_back(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator)
    sheet = applied(operator, row("+4479", "0.05"))

    undo_sheet(actor=actor, sheet_id=sheet.pk)

    rule.refresh_from_db()
    assert rule.version == 3


def test_it_refuses_once_a_price_was_changed(actor: Actor) -> None:
    operator = carrier_with_prices()
    sheet = applied(operator, *SHEET)
    made = RoutingRule.objects.get(rate_sheet=sheet, prefix="+442")
    actions.update_rule(actor=actor, rule_id=made.pk, changes={"weight": 5})
    before = snapshot(operator)

    with pytest.raises(RateSheetTouched) as refused:
        undo_sheet(actor=actor, sheet_id=sheet.pk)

    assert refused.value.members == {
        "total": 1,
        "gone": 0,
        "rules": [{"ruleId": str(made.pk), "prefix": "+442", "updatedBy": "alice"}],
    }
    assert "1 rule was changed or added since (+442 by alice)" in str(refused.value)
    assert snapshot(operator) == before


def test_it_refuses_once_a_rule_that_it_ended_was_changed(actor: Actor) -> None:
    operator = make_operator()
    rule = make_rule(operator)
    sheet = applied(operator, row("+4479", "0.05"))
    actions.update_rule(actor=actor, rule_id=rule.pk, changes={"weight": 5})

    with pytest.raises(RateSheetTouched):
        undo_sheet(actor=actor, sheet_id=sheet.pk)


def test_it_refuses_once_a_rule_is_gone(actor: Actor) -> None:
    operator = make_operator()
    make_rule(operator)
    sheet = applied(operator, row("+4479", "0.05"), row("+441", "0.05"))
    for rule in RoutingRule.objects.filter(prefix="+4479"):
        actions.delete_rule(actor=actor, rule_id=rule.pk)

    with pytest.raises(RateSheetTouched, match="2 rules were deleted"):
        undo_sheet(actor=actor, sheet_id=sheet.pk)


def test_it_refuses_when_somebody_has_filled_the_gap(actor: Actor) -> None:
    operator = make_operator()
    make_rule(operator)
    sheet = applied(operator, row("+441", "0.05"), options=FULL)
    filler = make_rule(operator, effective_from=JANUARY)

    with pytest.raises(RateSheetTouched) as refused:
        undo_sheet(actor=actor, sheet_id=sheet.pk)

    assert [rule.pk for rule in refused.value.rules] == [filler.pk]
    actions.delete_rule(actor=actor, rule_id=filler.pk)
    assert undo_sheet(actor=actor, sheet_id=sheet.pk).status == "UNDONE"


def test_it_undoes_only_what_is_applied_and_only_once(actor: Actor) -> None:
    operator = make_operator()
    sheet = previewed(operator, row("+441", "0.05"))
    with pytest.raises(PreconditionFailed, match="PREVIEWED"):
        undo_sheet(actor=actor, sheet_id=sheet.pk)
    sheet = applied(operator, row("+441", "0.05"))
    undo_sheet(actor=actor, sheet_id=sheet.pk)

    with pytest.raises(PreconditionFailed, match="UNDONE"):
        undo_sheet(actor=actor, sheet_id=sheet.pk)


def test_a_sheet_that_wrote_nothing_is_undone_without_a_word(actor: Actor) -> None:
    operator = make_operator()
    make_rule(operator, effective_to=DECEMBER)
    sheet = applied(operator, row("+4479", "0.0415", end=DECEMBER, start=None))
    events = OutboxEvent.objects.count()

    undo_sheet(actor=actor, sheet_id=sheet.pk)

    assert RateSheet.objects.get().status == "UNDONE"
    assert OutboxEvent.objects.count() == events
