"""The console's pages of rate sheets: apply and undo."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client

from operators.actors import Actor
from operators.models import AuditEntry, OutboxEvent
from routing.actions import update_rule
from routing.models import RoutingRule, SheetStatus
from tests.factories import make_operator
from tests.operators.console import page as operator_page
from tests.routing.cast import make_rule
from tests.routing.imports.cast import applied, previewed, row
from tests.routing.sheet_pages import applying, page, reading, text_of, upload

# Each step of an import is a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)


# --- Apply


def test_it_applies_and_says_what_was_done(staff_client: Client) -> None:
    operator = make_operator(name="Comium")
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0400"))
    sheet = previewed(operator, row("+4477", "0.0415"), row("+4479", "0.05"), row("+4470", "free"))

    response = staff_client.post(page("apply", sheet), applying(staff_client, sheet, reason="OPS-7"), follow=True)

    text = text_of(response)
    assert "Applied prices.csv: 2 rules made" in text
    assert "Applied by root-of-tests" in text
    assert "2 rules made, 1 rule ended or replaced, 1 line left out." in text
    html = response.content.decode()
    assert f'href="/admin/routing/routingrule/?operator={operator.pk}"' in html
    assert f'href="{operator_page("history", operator)}"' in html
    assert f'href="{page("undo", sheet)}"' in html
    assert RoutingRule.objects.filter(rate_sheet=sheet).count() == 2
    entry = AuditEntry.objects.get(action="import_rate_sheet")
    assert (entry.reason, entry.actor, entry.source) == ("OPS-7", "root-of-tests", "console")
    assert OutboxEvent.objects.filter(operator_id=operator.pk, version=operator.version + 2).count() == 1
    assert staff_client.get(page("history", sheet))["Location"] == operator_page("history", operator)


def test_it_asks_again_where_prices_move_far(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0415"))
    sheet = previewed(operator, row("+4477", "4.15"), row("+4479", "0.05"))
    sent = applying(staff_client, sheet, reason="OPS-7")

    first = staff_client.post(page("apply", sheet), sent)

    assert first.status_code == 409
    text = text_of(first)
    assert "1 price changes by more than 30 %" in text
    assert "+4477 0.0415 EUR 4.1500 EUR +9,900.00 %" in text
    assert first.context["form"]["reason"].value() == "OPS-7"
    assert first.context["form"]["seen"].value() == sent["seen"]

    unticked = staff_client.post(page("apply", sheet), {**sent, "confirming": "yes"})
    assert unticked.status_code == 409
    assert "Tick this, if they are." in text_of(unticked)
    # The box counts only on the page that lists the changes.
    assert staff_client.post(page("apply", sheet), {**sent, "confirm": "on"}).status_code == 409
    assert RoutingRule.objects.count() == 1

    done = staff_client.post(page("apply", sheet), {**sent, "confirming": "yes", "confirm": "on"})
    assert (done.status_code, done["Location"]) == (302, page("change", sheet))
    assert AuditEntry.objects.get(action="import_rate_sheet").reason == "OPS-7"


def test_it_asks_again_where_a_price_comes_from_nothing_or_changes_its_currency(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0415"), currency="USD")
    make_rule(operator, prefix="+4476", cost_per_segment=Decimal(0))
    sheet = previewed(operator, row("+4477", "0.0415"), row("+4476", "0.05"))

    response = staff_client.post(page("apply", sheet), applying(staff_client, sheet))

    text = text_of(response)
    assert "2 prices change by more than 30 %, or change their currency." in text
    assert "+4477 0.0415 USD 0.0415 EUR other currency" in text
    assert "+4476 0.0000 EUR 0.0500 EUR from nothing" in text


def test_it_applies_no_other_preview_than_the_one_that_was_seen(staff_client: Client) -> None:
    sheet = upload(staff_client, make_operator())
    sent = applying(staff_client, sheet)
    staff_client.post(page("preview", sheet), reading(staff_client, sheet, currency="GBP"))

    response = staff_client.post(page("apply", sheet), sent)

    assert response.status_code == 412
    assert "Somebody made another preview meanwhile." in text_of(response)
    assert not RoutingRule.objects.exists()
    assert response.context["applying"]["seen"].value() != sent["seen"]


def test_it_applies_nothing_where_the_rules_changed_meanwhile(staff_client: Client) -> None:
    operator = make_operator()
    sheet = previewed(operator, row("+4477", "0.0415"))
    sent = applying(staff_client, sheet)
    make_rule(operator, prefix="+33")

    response = staff_client.post(page("apply", sheet), sent)

    assert response.status_code == 412
    text = text_of(response)
    assert "Nothing was changed; make the preview again." in text
    assert 'value="Preview again"' in response.content.decode()
    assert RoutingRule.objects.count() == 1

    staff_client.post(page("preview", sheet), reading(staff_client, sheet))
    assert staff_client.post(page("apply", sheet), applying(staff_client, sheet)).status_code == 302


def test_it_applies_a_sheet_once(staff_client: Client) -> None:
    sheet = previewed(make_operator(), row("+4477", "0.0415"))
    sent = applying(staff_client, sheet)
    staff_client.post(page("apply", sheet), sent)

    response = staff_client.post(page("apply", sheet), sent)

    assert response.status_code == 412
    assert "The sheet is APPLIED; only what was previewed can be applied." in text_of(response)
    assert RoutingRule.objects.count() == 1
    assert staff_client.get(page("apply", sheet)).status_code == 405


def test_it_offers_no_sheet_without_a_line_to_apply(staff_client: Client) -> None:
    sheet = previewed(make_operator(), row("x", "1"))

    response = staff_client.get(page("change", sheet))
    assert "No line of the sheet can be applied." in text_of(response)
    assert "applying" not in response.context

    assert sheet.previewed_at
    refused = staff_client.post(page("apply", sheet), {"seen": sheet.previewed_at.isoformat()})
    assert refused.status_code == 400


def test_it_keeps_a_reason_that_is_too_long(staff_client: Client) -> None:
    sheet = previewed(make_operator(), row("+4477", "0.0415"))

    response = staff_client.post(page("apply", sheet), applying(staff_client, sheet, reason="x" * 1001))

    assert "at most 1000 characters" in response.context["applying"].errors["reason"][0]
    assert not RoutingRule.objects.exists()


def test_it_imports_nothing_by_half_when_the_database_goes_away(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0400"))
    sheet = previewed(operator, row("+4477", "0.0415"), row("+4479", "0.05"))
    sent = applying(staff_client, sheet)
    with connection.cursor() as cursor:
        # What a session gets that is ended by a restart of the server, while the last line is written.
        cursor.execute(
            """
            CREATE FUNCTION go_away() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.prefix = '+4479' THEN RAISE SQLSTATE '57P01'; END IF; RETURN NEW; END $$;
            CREATE TRIGGER go_away BEFORE INSERT ON routing_routingrule FOR EACH ROW EXECUTE FUNCTION go_away()
            """
        )
    try:
        response = staff_client.post(page("apply", sheet), sent)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION go_away CASCADE")

    assert response.status_code == 503
    assert "The database does not answer." in text_of(response)
    rule = RoutingRule.objects.get()
    assert (rule.prefix, rule.effective_to, rule.version) == ("+4477", None, 1)
    sheet.refresh_from_db()
    assert sheet.status == SheetStatus.PREVIEWED
    assert staff_client.post(page("apply", sheet), sent).status_code == 302


# --- Undo


def test_it_takes_an_import_back(staff_client: Client) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+4477", cost_per_segment=Decimal("0.0400"))
    sheet = applied(operator, row("+4477", "0.0415"), row("+4479", "0.05"))
    assert "By this import: 2 rules made, 1 rule ended or replaced." in text_of(staff_client.get(page("undo", sheet)))
    assert RoutingRule.objects.count() == 3

    response = staff_client.post(page("undo", sheet), {"reason": "OPS-9"}, follow=True)

    text = text_of(response)
    assert "Undone by root-of-tests" in text
    assert "The prices are as they were before." in text
    rule = RoutingRule.objects.get()
    assert (rule.prefix, rule.effective_to) == ("+4477", None)
    assert AuditEntry.objects.get(action="undo_rate_sheet").reason == "OPS-9"
    # It happens once.
    again = staff_client.post(page("undo", sheet), follow=True)
    assert "Only an import that is applied can be undone." in text_of(again)


def test_it_lists_the_rules_that_keep_an_import_from_being_undone(staff_client: Client, actor: Actor) -> None:
    operator = make_operator()
    sheet = applied(operator, row("+4477", "0.0415"), row("+4479", "0.05"), row("+4478", "0.05"))
    rule = RoutingRule.objects.get(prefix="+4479")
    update_rule(actor=actor, rule_id=rule.pk, changes={"weight": 5})
    RoutingRule.objects.filter(prefix="+4478").delete()

    response = staff_client.post(page("undo", sheet), {"reason": "OPS-9"})

    assert response.status_code == 409
    text = text_of(response)
    assert "The sheet cannot be undone as a whole: 1 rule was changed or added since" in text
    assert "1 rule was deleted" in text
    assert f'href="/admin/routing/routingrule/{rule.pk}/change/"' in response.content.decode()
    assert response.context["form"]["reason"].value() == "OPS-9"
    assert RoutingRule.objects.count() == 2


def test_it_keeps_what_was_typed_where_the_reason_is_too_long(staff_client: Client) -> None:
    sheet = applied(make_operator(), row("+4477", "0.0415"))

    response = staff_client.post(page("undo", sheet), {"reason": "x" * 1001})

    assert "at most 1000 characters" in response.context["form"].errors["reason"][0]
    assert RoutingRule.objects.count() == 1
