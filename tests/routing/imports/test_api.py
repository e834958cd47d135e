from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from config.env import BASE_DIR
from operators.actions import delete_operator
from operators.models import Operator
from routing import actions
from routing.models import RateSheet, RateSheetLine, RoutingRule
from routing.ratesheets.limits import MOST_BYTES
from tests.factories import ALICE, make_operator
from tests.routing.cast import make_rule
from tests.routing.imports.cast import content, prices, row, snapshot

pytestmark = pytest.mark.django_db(transaction=True)

WORKBOOK = BASE_DIR / "deploy" / "dev" / "sample" / "rate_sheets" / "1_bws30.xlsx"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def address(operator: Operator | str, query: str = "") -> str:
    key = operator.pk if isinstance(operator, Operator) else operator
    return f"/v1/admin/operators/{key}/rate-sheets{query and f'?{query}'}"


def send(api: APIClient, operator: Operator, *rows: str, query: str = "", **headers: str) -> Any:
    """Send a sheet as the whole body."""
    return api.post(address(operator, query), content(*rows), content_type="text/csv", **headers)  # type: ignore[arg-type]


def send_form(api: APIClient, operator: Operator, query: str = "", **fields: Any) -> Any:
    return api.post(address(operator, query), fields, format="multipart")


def file(*rows: str, name: str = "prices.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content(*rows), content_type="text/csv")


def fields_of(answer: Any) -> set[str]:
    assert answer.status_code == 400, answer.content
    body = answer.json()
    assert body["code"] == "INVALID_PAYLOAD"
    return {error["field"] for error in body["errors"]}


def code_of(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_a_dry_run_says_what_would_happen_and_leaves_nothing_behind(api: APIClient) -> None:
    operator = make_operator()
    make_rule(operator, prefix="+441", cost_per_segment=Decimal("0.04"))
    make_rule(operator, prefix="+449")
    before = snapshot(operator)

    answer = send(api, operator, row("+441", "0.05"), row("+442", "free"), query="dryRun=true&filename=new.csv")

    assert answer.status_code == 200
    body = answer.json()
    assert body["counts"] == {
        "new": 0,
        "dearer": 1,
        "cheaper": 0,
        "currencyChanged": 0,
        "unchanged": 0,
        "ended": 0,
        "rejected": 1,
    }
    [rejected] = body["rejected"]
    assert (rejected["line"], rejected["field"], rejected["value"]) == (3, "cost", "free")
    assert (body["sheetId"], body["filename"], body["rows"], body["missing"]) == (None, "new.csv", 2, 1)
    assert (body["rejectedTotal"], body["largeChanges"], body["version"]) == (1, 0, 3)
    [change] = body["biggestChanges"]
    assert (change["prefix"], change["oldCost"], change["cost"], change["changePercent"]) == ("+441", 0.04, 0.05, 25)
    assert body["columnMap"]["columns"]["prefix"] == 0
    assert snapshot(operator) == before
    assert not RateSheet.objects.exists()
    assert not RateSheetLine.objects.exists()


def test_it_imports_and_shows_the_import_and_undoes_it(api: APIClient) -> None:
    operator = make_operator()
    make_rule(operator)
    before = snapshot(operator)

    made = send_form(api, operator, file=file(row("+4479", "0.05"), row("+441", "0.01")))

    assert made.status_code == 201
    assert (made.json()["version"], made.json()["counts"]["new"]) == (3, 1)
    assert RoutingRule.objects.filter(created_by="bob").count() == 2
    shown = api.get(made["Location"])
    assert shown.status_code == 200
    body = shown.json()
    assert (body["status"], body["progress"], body["rows"], body["appliedBy"]) == ("APPLIED", 2, 2, "bob")
    assert (body["sheetId"], body["appliedVersion"]) == (made.json()["sheetId"], 3)

    undone = api.post(f"{made['Location']}/undo", {"reason": "wrong file"}, format="json")

    assert undone.status_code == 200
    assert (undone.json()["status"], undone.json()["undoneBy"]) == ("UNDONE", "bob")
    assert snapshot(operator) == before
    assert code_of(api.post(f"{made['Location']}/undo")) == (412, "PRECONDITION_FAILED")


def test_it_takes_a_workbook(api: APIClient) -> None:
    operator = make_operator()

    answer = api.post(address(operator, "dryRun=true"), WORKBOOK.read_bytes(), content_type=XLSX)

    assert answer.status_code == 200
    assert (answer.json()["rows"], answer.json()["rejectedTotal"]) == (400, 4)
    assert answer.json()["filename"] == "rate-sheet.xlsx"


def test_it_reads_by_the_map_and_the_defaults_that_are_sent(api: APIClient) -> None:
    operator = make_operator()
    unknown = SimpleUploadedFile("prices.csv", b"Ziel;Wert\n441;0,01\n442;0,02\n", content_type="text/csv")
    told = {"columns": {"prefix": 0, "cost": 1}, "decimalMark": ","}

    assert fields_of(send_form(api, operator, file=unknown)) == {"columnMap"}
    unknown.seek(0)
    answer = send_form(api, operator, "currency=GBP&effectiveFrom=2126-12-24", file=unknown, columnMap=json.dumps(told))

    assert answer.status_code == 201, answer.content
    assert prices(operator) == [
        "+441: 0.010000 GBP, priority 10, weight 100, 2126-12-24T00:00Z/",
        "+442: 0.020000 GBP, priority 10, weight 100, 2126-12-24T00:00Z/",
    ]


def test_large_changes_have_to_be_confirmed(api: APIClient) -> None:
    operator = make_operator()
    make_rule(operator, cost_per_segment=Decimal("0.04"))

    refused = send(api, operator, row("+4479", "0.4"))

    assert code_of(refused) == (409, "RATE_CHANGE_UNCONFIRMED")
    body = refused.json()
    assert (body["percent"], body["total"], body["changes"][0]["changePercent"]) == (30, 1, 900)
    assert not RateSheet.objects.exists()
    assert send(api, operator, row("+4479", "0.4"), query="confirmLargeChanges=true").status_code == 201


def test_a_full_sheet_ends_what_it_does_not_name(api: APIClient) -> None:
    operator = make_operator()
    make_rule(operator)

    answer = send(api, operator, row("+441", "0.05"), query="full=true")

    assert (answer.status_code, answer.json()["counts"]["ended"]) == (201, 1)
    assert prices(operator)[1].endswith("/2126-12-01T00:00Z")


def test_it_imports_what_the_dry_run_saw_or_nothing(api: APIClient) -> None:
    operator = make_operator()
    rule = make_rule(operator)
    seen = send(api, operator, row("+441", "0.05"), query="dryRun=true").json()["version"]
    actions.update_rule(actor=ALICE, rule_id=rule.pk, changes={"weight": 5})

    assert code_of(send(api, operator, row("+441", "0.05"), HTTP_IF_MATCH=f'"{seen}"')) == (412, "PRECONDITION_FAILED")
    assert send(api, operator, row("+441", "0.05"), HTTP_IF_MATCH=f'"{seen + 1}"').status_code == 201


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("dryrun=true", "dryrun"),
        ("dryRun=yes", "dryRun"),
        ("dryRun=true&dryRun=false", "dryRun"),
        ("full=1", "full"),
        ("currency=EURO", "currency"),
        ("effectiveFrom=1.12.2126", "effectiveFrom"),
        ("effectiveFrom=2126-12-01T00:00:00", "effectiveFrom"),
        ("effectiveFrom=2126-02-30", "effectiveFrom"),
    ],
)
def test_it_names_the_parameter_that_is_wrong(api: APIClient, query: str, field: str) -> None:
    assert fields_of(send(api, make_operator(), row("+441", "0.05"), query=query)) == {field}
    assert not RoutingRule.objects.exists()


def test_it_names_what_is_wrong_with_a_form(api: APIClient) -> None:
    operator = make_operator()
    one = row("+441", "0.05")

    assert fields_of(send_form(api, operator)) == {"file"}
    assert fields_of(send_form(api, operator, file="not a file")) == {"file"}
    assert fields_of(send_form(api, operator, file=[file(one), file(one)])) == {"file"}
    assert fields_of(send_form(api, operator, file=file(one), sheet="x")) == {"sheet"}
    assert fields_of(send_form(api, operator, file=file(one), columnMap=file(one))) == {"columnMap"}
    assert fields_of(send_form(api, operator, file=file(one), columnMap="{")) == {"columnMap"}
    assert fields_of(send_form(api, operator, file=file(one), columnMap='{"columns": {"price": 1}}')) == {"columnMap"}
    assert fields_of(send_form(api, operator, file=file(one), columnMap="[" * 100_000)) == {"columnMap"}
    assert fields_of(send_form(api, operator, "filename=x.csv", file=file(one))) == {"filename"}
    assert fields_of(api.post(address(operator), b"no boundary", content_type="multipart/form-data")) == {"body"}
    assert not RateSheet.objects.exists()


def test_it_says_what_is_wrong_with_a_file(api: APIClient) -> None:
    operator = make_operator()

    assert fields_of(api.post(address(operator), b"", content_type="text/csv")) == {"file"}
    assert fields_of(api.post(address(operator))) == {"file"}
    assert fields_of(api.post(address(operator), b"PK\x03\x04 no archive", content_type=XLSX)) == {"file"}
    assert fields_of(send(api, operator, row("+441", "free"))) == {"file"}
    assert not RateSheet.objects.exists()


@pytest.mark.parametrize("media_type", ["application/json", "application/octet-stream", "text/plain"])
def test_it_takes_no_other_media_type(api: APIClient, media_type: str) -> None:
    answer = api.post(address(make_operator()), content(row("+441", "0.05")), content_type=media_type)

    assert code_of(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_it_refuses_what_is_too_large(api: APIClient) -> None:
    operator = make_operator()
    large = b"Prefix,Price\n" + b"\n" * MOST_BYTES

    assert code_of(api.post(address(operator), large, content_type="text/csv")) == (413, "PAYLOAD_TOO_LARGE")
    assert code_of(send_form(api, operator, file=SimpleUploadedFile("prices.csv", large))) == (413, "PAYLOAD_TOO_LARGE")
    # Of a body that is far too large nothing is read: this one is not even there.
    told = api.post(address(operator), b"", content_type="text/csv", CONTENT_LENGTH=str(10**9))
    assert code_of(told) == (413, "PAYLOAD_TOO_LARGE")


def test_it_knows_no_operators_and_sheets_that_are_not_there(api: APIClient) -> None:
    gone = make_operator()
    made = send(api, gone, row("+441", "0.05"))
    delete_operator(actor=ALICE, operator_id=gone.pk)

    assert code_of(send(api, gone, row("+441", "0.05"))) == (404, "NOT_FOUND")
    assert code_of(api.post(address(str(uuid4())), content(), content_type="text/csv")) == (404, "NOT_FOUND")
    assert code_of(api.get(made["Location"])) == (404, "NOT_FOUND")
    assert code_of(api.post(f"{made['Location']}/undo")) == (404, "NOT_FOUND")
    assert code_of(api.get(f"/v1/admin/rate-sheets/{uuid4()}")) == (404, "NOT_FOUND")


def test_whoever_may_read_may_not_import(token: Callable[..., str]) -> None:
    operator = make_operator()
    reader, stranger = APIClient(), APIClient()
    reader.credentials(HTTP_AUTHORIZATION=f"Bearer {token(scope='ops:read')}")

    assert code_of(send(reader, operator, row("+441", "0.05"), query="dryRun=true")) == (403, "FORBIDDEN")
    assert code_of(send(stranger, operator, row("+441", "0.05"))) == (401, "UNAUTHENTICATED")
    assert code_of(reader.get(f"/v1/admin/rate-sheets/{uuid4()}")) == (404, "NOT_FOUND")
    assert not RateSheet.objects.exists()


def test_undo_is_refused_once_a_price_was_changed(api: APIClient) -> None:
    operator = make_operator()
    made = send(api, operator, row("+441", "0.05"))
    rule = RoutingRule.objects.get()
    actions.update_rule(actor=ALICE, rule_id=rule.pk, changes={"weight": 5})

    refused = api.post(f"{made['Location']}/undo")

    assert code_of(refused) == (409, "RATE_SHEET_TOUCHED")
    assert refused.json()["rules"] == [{"ruleId": str(rule.pk), "prefix": "+441", "updatedBy": "alice"}]
    assert fields_of(api.post(f"{made['Location']}/undo", {"why": "x"}, format="json")) == {"why"}
