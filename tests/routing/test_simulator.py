"""The route simulator: every outcome, what-if, lists, addresses that can be shared, and what people paste."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from operators import prepared
from operators.actions import delete_operator, suspend_operator
from operators.models import HealthState, Operator
from tests.factories import ALICE
from tests.operators.console import member_of
from tests.routing.cast import make_carrier, make_destination, make_rule

pytestmark = pytest.mark.django_db

PAGE: Final = "/admin/routing/simulator/"
NUMBER: Final = "+447911123456"
FAR: Final = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def world() -> dict[str, Operator]:
    """Three operators for +4479: the second is cheaper but comes after the first, the third is down."""
    first, second, third = make_carrier("Comium"), make_carrier("Africell"), make_carrier("Broken")
    make_rule(first, priority=1, cost_per_segment=Decimal("0.05"))
    make_rule(second, priority=2, cost_per_segment=Decimal("0.03"))
    make_rule(third, priority=1, cost_per_segment=Decimal("0.01"))
    make_rule(third, prefix="+49")
    Operator.objects.filter(pk=third.pk).update(health_state=HealthState.UNHEALTHY)
    make_destination("+44", "GB")
    make_destination("+4479", "GB", network="Vodafone", mcc="234", mnc="15")
    return {"first": first, "second": second, "third": third}


def ask(client: Client, numbers: str = NUMBER, **values: Any) -> Any:
    """Open the page as its address has it."""
    answer = client.get(PAGE, {"numbers": numbers, **values})
    assert answer.status_code == 200
    return answer


def verdicts(answer: Any) -> list[tuple[str, str, str]]:
    """Tell of every row its verdict, operator and reason."""
    return [
        (row.explained.verdict.value, row.explained.candidate.operator_name, row.explained.reason.value)
        for row in answer.context["rows"]
    ]


def words(answer: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def test_it_shows_who_carries_a_number_and_why_the_others_do_not(
    staff_client: Client, world: dict[str, Operator]
) -> None:
    answer = ask(staff_client)

    assert verdicts(answer) == [
        ("CHOSEN", "Comium", "CHOSEN"),
        ("NEXT", "Africell", "PRIORITY"),
        ("PASSED_OVER", "Broken", "UNHEALTHY"),
    ]
    text = words(answer)
    assert "Comium Healthy 0.0500 EUR per segment, by the rule +4479" in text
    assert "Priority 2 comes after 1." in text
    assert "United Kingdom · Vodafone +4479 234/15" in text
    page = answer.content.decode()
    assert f"/admin/operators/operator/{world['first'].pk}/change/" in page
    assert all(
        f"/admin/routing/routingrule/{row.explained.candidate.rule_id}/" in page for row in answer.context["rows"]
    )


def test_it_says_that_there_is_no_route(staff_client: Client, world: dict[str, Operator]) -> None:
    assert "No route No rule has a prefix" in words(ask(staff_client, "+33612345678"))
    for pk in (world["first"].pk, world["second"].pk, world["third"].pk):
        suspend_operator(actor=ALICE, operator_id=pk)
    answer = ask(staff_client)
    assert "No route The number begins with the prefixes of the rules below" in words(answer)
    assert {verdict for verdict, _, _ in verdicts(answer)} == {"PASSED_OVER"}
    assert "badge-suspended" in answer.content.decode()


def test_it_says_that_every_operator_is_unhealthy(staff_client: Client, world: dict[str, Operator]) -> None:
    text = words(ask(staff_client, "+4915112345678"))
    assert "Every operator that carries it is unhealthy Unhealthy or in maintenance" in text


def test_it_takes_strategy_currency_network_and_moment(staff_client: Client, world: dict[str, Operator]) -> None:
    make_rule(world["first"], prefix="+44791", effective_from=FAR, mcc="234", mnc="10")
    make_rule(world["second"], prefix="+44", currency="USD", cost_per_segment=Decimal("0.001"), priority=3)

    assert verdicts(ask(staff_client, strategy="COST"))[0][1] == "Africell"
    assert ask(staff_client, strategy="COST", currency="usd").context["answer"].currency == "USD"
    assert ask(staff_client, strategy="WEIGHTED").context["answer"].selected is not None
    later = {"as_of": "2099-01-02T00:00"}
    assert ask(staff_client, **later).context["first"].explained.candidate.prefix == "+44791"
    assert ask(staff_client, mcc="234", mnc="15", **later).context["first"].explained.candidate.prefix == "+4479"


def test_it_answers_what_if_operators_were_down(staff_client: Client, world: dict[str, Operator]) -> None:
    answer = ask(staff_client, down=[str(world["first"].pk)])

    assert verdicts(answer)[0][:2] == ("CHOSEN", "Africell")
    assert ("PASSED_OVER", "Comium", "ASSUMED_DOWN") in verdicts(answer)
    assert "if Comium was down." in words(answer)
    [(operator, without)] = answer.context["assumed"]
    assert operator == world["first"]
    assert verdicts(staff_client.get(f"{PAGE}?{without}"))[0][:2] == ("CHOSEN", "Comium")
    both = ask(staff_client, down=[str(world["first"].pk), str(world["second"].pk)])
    assert "Unhealthy, in maintenance, or assumed to be down" in words(both)


def test_its_form_leads_to_an_address_that_gives_the_same_page(
    staff_client: Client, world: dict[str, Operator]
) -> None:
    sent = {"numbers": " 0044 7911\r\n+44 (7911) 123-456; +4915112345678", "strategy": "COST", "currency": "eur"}
    sent |= {"as_of": "2099-01-02T10:30:05", "mcc": "234", "mnc": "15", "down": str(world["first"].pk)}

    led = staff_client.post(PAGE, sent)

    assert led.status_code == 302
    assert parse_qs(urlsplit(led["Location"]).query) == {
        "numbers": ["0044 7911\n+447911123456\n+4915112345678"],
        "strategy": ["COST"],
        "currency": ["EUR"],
        "as_of": ["2099-01-02T10:30:05"],
        "mcc": ["234"],
        "mnc": ["15"],
        "down": [str(world["first"].pk)],
    }
    page = staff_client.get(led["Location"])
    assert [line.entry.number for line in page.context["lines"]] == ["", NUMBER, "+4915112345678"]
    link = page.context["link"]
    assert link == f"http://testserver{led['Location']}"
    again = staff_client.get(link.removeprefix("http://testserver"))
    assert words(again) == words(page)


def test_its_link_means_now_and_another_one_keeps_the_moment(staff_client: Client, world: dict[str, Operator]) -> None:
    answer = ask(staff_client)
    assert "as_of" not in answer.context["link"]
    moment = answer.context["question"].as_of

    pinned = staff_client.get(answer.context["pinned"].removeprefix("http://testserver"))

    assert pinned.context["question"].as_of == moment.replace(microsecond=0)
    assert timezone.now() - moment < timedelta(minutes=1)
    assert 'data-copy="http://testserver/admin/routing/simulator/?numbers=%2B447911123456"' in answer.content.decode()


def test_it_answers_a_list_line_by_line(staff_client: Client, world: dict[str, Operator]) -> None:
    answer = ask(staff_client, f"{NUMBER}, +33612345678; +4915112345678\n00447911\nno number \U0001f4de")

    lines = [
        (line.entry.number or line.entry.typed, line.selected and line.selected.operator_name, line.entry.problem)
        for line in answer.context["lines"]
    ]
    assert lines == [
        (NUMBER, "Comium", ""),
        ("+33612345678", None, ""),
        ("+4915112345678", None, ""),
        ("00447911", None, "Write + instead of 00."),
        ("no number \U0001f4de", None, "A number is + and digits; letters and other signs do not belong to it."),
    ]
    assert [answer.context[name] for name in ("routed", "no_route", "all_unhealthy", "junk")] == [1, 1, 1, 2]
    assert [(name, count) for _, name, count in answer.context["operators"]] == [("Comium", 1)]
    assert answer.context["lines"][0].second.operator_name == "Africell"


def test_each_line_leads_to_its_explanation_with_the_same_options(
    staff_client: Client, world: dict[str, Operator]
) -> None:
    answer = ask(staff_client, f"{NUMBER}\n{NUMBER}", strategy="COST", down=[str(world["second"].pk)])

    one = staff_client.get(f"{PAGE}?{answer.context['lines'][1].query}")

    assert verdicts(one)[0] == ("CHOSEN", "Comium", "CHOSEN")
    assert ("PASSED_OVER", "Africell", "ASSUMED_DOWN") in verdicts(one)
    assert one.context["question"].strategy.value == "COST"


def test_it_gives_a_list_as_a_file(staff_client: Client, world: dict[str, Operator]) -> None:
    Operator.objects.filter(pk=world["second"].pk).update(name="=Africell")
    page = ask(staff_client, f"{NUMBER}\n=1+1")

    answers = [
        staff_client.get(f"{PAGE}?{page.context['csv']}"),
        staff_client.post(f"{PAGE}?format=csv", {"numbers": f"{NUMBER}\n=1+1"}),
    ]

    for answer in answers:
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
        first, second = csv.DictReader(io.StringIO(text))
        assert (first["number"], first["outcome"], first["operator"]) == (NUMBER, "ROUTED", "Comium")
        assert (first["costPerSegment"], first["currency"]) == ("0.050000", "EUR")
        assert first["secondOperator"] == "'=Africell"
        assert (second["number"], second["outcome"]) == ("'=1+1", "NOT_A_NUMBER")
        assert second["problem"]


def test_a_long_list_is_answered_without_an_address(staff_client: Client, world: dict[str, Operator]) -> None:
    numbers = "\n".join(f"+4479{number:08}" for number in range(1_000))

    answer = staff_client.post(PAGE, {"numbers": numbers, "down": str(world["first"].pk)})

    assert answer.status_code == 200
    assert answer.context["routed"] == 1_000
    assert [(name, count) for _, name, count in answer.context["operators"]] == [("Africell", 1_000)]
    assert "link" not in answer.context
    page = answer.content.decode()
    assert 'formaction="?format=csv"' in page
    assert re.search(rf'name="down" value="{world["first"].pk}" checked', page)
    assert numbers.split("\n")[-1] in page


def test_the_longest_list_with_an_address_fits_into_a_requests_line(
    staff_client: Client, world: dict[str, Operator]
) -> None:
    numbers = [f"+44791{number:09}" for number in range(140)]
    led = staff_client.post(PAGE, {"numbers": "\n".join(numbers), "strategy": "COST", "currency": "EUR"})
    assert led.status_code == 302
    to_login = Client().get(led["Location"])
    assert len(to_login["Location"]) < 4_000


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"numbers": ""}, "numbers", "Give at least one number"),
        ({"numbers": " ,;\n "}, "numbers", "Give at least one number"),
        ({"numbers": "letters"}, "numbers", "letters and other signs do not belong"),
        ({"numbers": "00447911123456"}, "numbers", "Write + instead of 00."),
        ({"numbers": "\U0001f4de"}, "numbers", "letters and other signs do not belong"),
        ({"numbers": "+44791\x00"}, "numbers", "Null characters"),
        ({"numbers": "+447911123\n" * 1_001}, "numbers", "These are 1,001 lines: at most 1,000 at once."),
        ({"numbers": "1" * 900_000}, "numbers", "This is too long for a number."),
        ({"numbers": "1," * 300_000}, "numbers", "These are 300,000 lines"),
        ({"as_of": "yesterday"}, "as_of", "Enter a valid date/time."),
        ({"as_of": "0000-01-01T00:00"}, "as_of", "Enter a valid date/time."),
        ({"currency": "XYZ"}, "currency", "three-letter code of ISO 4217"),
        ({"currency": "\u20ac"}, "currency", "three-letter code of ISO 4217"),
        ({"strategy": "LUCK"}, "strategy", "LUCK is not one of the available choices"),
        ({"mcc": "23"}, "mcc", "An MCC has 3 digits"),
        ({"mnc": "15"}, "mcc", "An MNC counts only together with its MCC."),
        ({"mcc": "234", "mnc": "x"}, "mnc", "An MNC has 2 or 3 digits"),
        ({"down": "nonsense"}, "down", "“nonsense” is not a valid UUID."),
        ({"down": "3f2b8c1e-5d0a-4b7e-9a61-0c9e6f1d2a34"}, "down", "is not there any more"),
    ],
)
def test_it_says_what_is_wrong_by_the_field_and_loses_nothing(
    staff_client: Client, world: dict[str, Operator], values: dict[str, str], field: str, message: str
) -> None:
    sent = {"numbers": NUMBER, "strategy": "COST", "mcc": "234", "down": str(world["first"].pk), **values}
    if "mnc" in values and "mcc" not in values:
        del sent["mcc"]
    for address in (PAGE, f"{PAGE}?format=csv"):
        answer = staff_client.post(address, sent)
        assert answer.status_code == 200
        form = answer.context["form"]
        assert list(form.errors) == [field]
        assert message in form.errors[field][0]
        page = html.unescape(answer.content.decode())
        assert message in page
        assert "answer" not in answer.context
        for name in ("numbers", "currency", "as_of", "mcc", "mnc"):
            assert sent.get(name, "").replace("\n", "\r\n")[:50] in page.replace("\r\n", "\n").replace("\n", "\r\n")
        if field != "down":
            assert f'value="{world["first"].pk}" checked' in page


@pytest.mark.parametrize("moment", ["0001-01-01T00:00", "9999-12-31T23:59:59"])
def test_it_answers_at_the_ends_of_time(staff_client: Client, world: dict[str, Operator], moment: str) -> None:
    assert ask(staff_client, as_of=moment).context["answer"].selected.operator_name == "Comium"
    assert staff_client.post(PAGE, {"numbers": NUMBER, "as_of": moment}).status_code == 302


def test_it_takes_a_plus_that_an_address_has_lost(staff_client: Client, world: dict[str, Operator]) -> None:
    assert staff_client.get(f"{PAGE}?numbers={NUMBER}").context["number"] == NUMBER
    assert staff_client.get(f"{PAGE}?numbers=%00").status_code == 400


@pytest.mark.parametrize("typed", ["+44 7911 123456", " +44 (7911) 123-456\r\n", "\uff0b447911123456"])
def test_it_takes_a_number_as_people_write_it(staff_client: Client, world: dict[str, Operator], typed: str) -> None:
    assert ask(staff_client, typed).context["number"] == NUMBER


def test_a_deleted_operator_neither_routes_nor_shows(staff_client: Client, world: dict[str, Operator]) -> None:
    suspend_operator(actor=ALICE, operator_id=world["first"].pk)
    delete_operator(actor=ALICE, operator_id=world["first"].pk)
    assert "Comium" not in {name for _, name, _ in verdicts(ask(staff_client))}


def test_it_escapes_what_it_shows(staff_client: Client, world: dict[str, Operator]) -> None:
    Operator.objects.filter(pk=world["first"].pk).update(name="<b>Comium")
    for answer in (
        ask(staff_client, down=[str(world["first"].pk)]),
        ask(staff_client, f"{NUMBER}\n<i>junk"),
    ):
        page = answer.content.decode()
        assert "<b>Comium" not in page
        assert "<i>junk" not in page


def test_it_shows_so_many_candidates_and_no_more(
    staff_client: Client, world: dict[str, Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.admin.simulator.MOST_CANDIDATES", 2)
    answer = ask(staff_client)
    assert len(answer.context["rows"]) == 2
    assert "And 1 more that is passed over." in words(answer)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note every statement that goes to the server, those beside Django's own cursors too."""
    seen: list[str] = []
    execute, run = psycopg.Cursor.execute, prepared.Session.run

    def note(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(str(query))
        return execute(self, query, *args, **kwargs)

    def note_kept(self: Any, statement: str, *args: Any) -> Any:
        seen.append(statement)
        return run(self, statement, *args)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", note)
        patch.setattr(prepared.Session, "run", note_kept)
        yield seen


def test_a_list_of_a_thousand_takes_as_many_queries_as_one_of_two(
    staff_client: Client, world: dict[str, Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for size in (2, 2, 1_000):
        numbers = "\n".join(f"+4479{number:08}" for number in range(size))
        with counted(monkeypatch) as seen:
            answer = staff_client.post(f"{PAGE}?format=csv", {"numbers": numbers, "down": str(world["first"].pk)})
            b"".join(answer.streaming_content)  # type: ignore[attr-defined]
        assert any("asked.number" in statement for statement in seen)
        counts.append(len(seen))
    assert counts[1] == counts[2]


def test_it_is_for_those_who_may_read_rules(world: dict[str, Operator]) -> None:
    nobody = Client()
    nobody.force_login(get_user_model().objects.create_user("nobody", is_staff=True))
    viewer = member_of("Viewer")
    for address in (PAGE, f"{PAGE}?numbers=%2B4479111", f"{PAGE}?numbers=%2B4479111&format=csv"):
        assert viewer.get(address).status_code == 200
        assert viewer.put(address).status_code == 405
        assert nobody.get(address).status_code == 403
        assert nobody.post(address, {"numbers": NUMBER}).status_code == 403
        assert Client().get(address)["Location"].startswith("/admin/login/")
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(get_user_model().objects.create_superuser("root"))
    assert forged.post(PAGE, {"numbers": NUMBER}).status_code == 403


def test_it_is_found_from_the_sidebar_and_from_the_rules(world: dict[str, Operator]) -> None:
    viewer = member_of("Viewer")
    page = viewer.get("/admin/routing/routingrule/").content.decode()
    assert re.search(r'<a href="/admin/routing/simulator/">Try a number</a>', page)
    assert re.search(r'<a href="/admin/routing/simulator/">Route simulator</a>', page)
    assert re.search(r'<a href="/admin/routing/reports/">Reports</a>', page)
    assert viewer.get("/admin/routing/reports/")["Location"] == "/admin/routing/reports/prices/"
    assert 'aria-current="page">Reports' in viewer.get("/admin/routing/reports/coverage/").content.decode()
    assert "Route simulator" in viewer.get("/admin/routing/").content.decode()
    nobody = Client()
    nobody.force_login(get_user_model().objects.create_user("nobody", is_staff=True))
    assert "Route simulator" not in nobody.get("/admin/").content.decode()
