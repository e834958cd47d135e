from __future__ import annotations

from typing import Any, Final

import pytest
from rest_framework.test import APIClient

from routing.models import DestinationPrefix
from routing.models.destination import Origin
from tests.operators.api.cast import NOBODY, errors, refused
from tests.routing.cast import make_destination

pytestmark = pytest.mark.django_db

PREFIXES: Final = "/v1/admin/destination-prefixes"


def at(row: DestinationPrefix) -> str:
    return f"{PREFIXES}/{row.pk}"


def listed(api: APIClient, query: str) -> list[str]:
    answer = api.get(f"{PREFIXES}?{query}")
    assert answer.status_code == 200, answer.content
    return [row["prefix"] for row in answer.json()["data"]]


@pytest.fixture
def world(db: None) -> None:
    make_destination("+44", "GB")
    make_destination("+4479", "GB", network="Comium", mcc="234", mnc="10")
    make_destination("+4479111", "GG", network="JT Mobile", mcc="234", mnc="50")
    make_destination("+49", "DE", mcc="262")
    make_destination("+870", "")


def test_it_creates_reads_changes_and_deletes(api: APIClient, db: None) -> None:
    body = {"prefix": "+44790", "country": "GB", "network": "Comium", "mcc": "234", "mnc": "10"}
    created = api.post(PREFIXES, body)
    assert created.status_code == 201, created.content
    shown = created.json()
    assert {name: shown[name] for name in body} == body
    assert (shown["origin"], shown["version"], shown["updatedBy"]) == ("STAFF", 1, "bob")
    assert created["Location"] == f"{PREFIXES}/{shown['prefixId']}"
    assert created["ETag"] == '"1"'

    read = api.get(created["Location"])
    assert (read.status_code, read["ETag"], read.json()) == (200, '"1"', shown)
    assert api.get(created["Location"], HTTP_IF_NONE_MATCH='"1"').status_code == 304

    changed = api.patch(created["Location"], {"mnc": None, "network": ""}, HTTP_IF_MATCH='"1"')
    assert (changed.status_code, changed["ETag"]) == (200, '"2"'), changed.content
    assert (changed.json()["mcc"], changed.json()["mnc"], changed.json()["network"]) == ("234", None, "")
    row = DestinationPrefix.objects.get()
    assert (row.mcc, row.mnc, row.network, row.version) == ("234", "", "", 2)

    refused(api.delete(created["Location"], HTTP_IF_MATCH='"1"'), status=412, code="PRECONDITION_FAILED")
    assert api.delete(created["Location"], HTTP_IF_MATCH='"2"').status_code == 204
    refused(api.get(created["Location"]), status=404, code="NOT_FOUND")


def test_it_shows_what_is_empty_as_null(api: APIClient, world: None) -> None:
    row = DestinationPrefix.objects.get(prefix="+870")

    shown = api.get(at(row)).json()

    assert (shown["country"], shown["mcc"], shown["mnc"], shown["network"]) == (None, None, None, "")


def test_it_asks_for_the_version_that_was_seen(api: APIClient, db: None) -> None:
    row = make_destination("+44", "GB", origin=Origin.REFERENCE)

    refused(api.patch(at(row), {"country": "JE"}), status=428, code="PRECONDITION_REQUIRED")
    refused(api.patch(at(row), {"country": "JE"}, HTTP_IF_MATCH='"7"'), status=412, code="PRECONDITION_FAILED")
    row.refresh_from_db()
    assert row.country == "GB"
    assert api.patch(at(row), {"country": "JE"}, HTTP_IF_MATCH="*").json()["origin"] == "STAFF"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"prefix"}),
        ({"prefix": None}, {"prefix"}),
        ({"prefix": 44}, {"prefix"}),
        ({"prefix": "0044"}, {"prefix"}),
        ({"prefix": "+44", "country": "UK"}, {"country"}),
        ({"prefix": "+44", "country": ""}, {"country"}),
        ({"prefix": "+44", "country": "GB", "mcc": "262"}, {"mcc"}),
        ({"prefix": "+44", "mcc": 234}, {"mcc"}),
        ({"prefix": "+44", "mnc": "10"}, {"mnc"}),
        ({"prefix": "+44", "network": None}, {"network"}),
        ({"prefix": "+44", "origin": "REFERENCE"}, {"origin"}),
        ({"prefix": "+44", "colour": "red"}, {"colour"}),
    ],
)
def test_it_refuses_wrong_values_by_name(api: APIClient, body: dict[str, Any], fields: set[str]) -> None:
    assert set(errors(api.post(PREFIXES, body))) == fields
    assert not DestinationPrefix.objects.exists()


def test_it_says_which_row_has_the_prefix(api: APIClient, world: None) -> None:
    existing = DestinationPrefix.objects.get(prefix="+49")

    answer = api.post(PREFIXES, {"prefix": "+49"})

    assert refused(answer, status=409, code="DUPLICATE_PREFIX").startswith("There is a destination prefix +49 already")
    assert answer.json()["prefixId"] == str(existing.pk)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["+44", "+4479", "+4479111", "+49", "+870"]),
        ("country=GB", ["+44", "+4479"]),
        ("network=MOB", ["+4479111"]),
        ("mcc=234&mnc=50", ["+4479111"]),
        ("prefixStarts=%2B447", ["+4479", "+4479111"]),
        ("number=%2B447911123456", ["+4479111", "+4479", "+44"]),
        ("number=%2B4479&ordering=prefix", ["+44", "+4479"]),
        ("ordering=-prefix&limit=2", ["+870", "+49"]),
        ("ordering=country,-prefix", ["+870", "+49", "+4479", "+44", "+4479111"]),
        ("limit=2&page=2", ["+4479111", "+49"]),
    ],
)
def test_it_filters_and_orders(api: APIClient, world: None, query: str, found: list[str]) -> None:
    assert listed(api, query) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("country=UK", "country"),
        ("country=gb", "country"),
        ("mcc=23", "mcc"),
        ("number=447911123456", "number"),
        ("number= 44", "number"),
        ("prefixStarts=44", "prefixStarts"),
        ("ordering=colour", "ordering"),
        ("origin=STAFF", "origin"),
        ("page=0", "page"),
    ],
)
def test_it_refuses_wrong_parameters_by_name(api: APIClient, world: None, query: str, field: str) -> None:
    assert set(errors(api.get(f"{PREFIXES}?{query}"))) == {field}


def test_it_is_for_administrators(api: APIClient, token: Any, world: None) -> None:
    row = DestinationPrefix.objects.get(prefix="+49")
    client = APIClient()
    refused(client.get(PREFIXES), status=401, code="UNAUTHENTICATED")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token(scope='ops:read')}")
    assert client.get(at(row)).status_code == 200
    refused(client.post(PREFIXES, {"prefix": "+1"}), status=403, code="FORBIDDEN")
    refused(client.patch(at(row), {"country": "AT"}, HTTP_IF_MATCH="*"), status=403, code="FORBIDDEN")
    refused(client.delete(at(row)), status=403, code="FORBIDDEN")
    for method, options in (("get", {}), ("delete", {}), ("patch", {"HTTP_IF_MATCH": "*"})):
        answer = getattr(api, method)(f"{PREFIXES}/{NOBODY}", **options)
        assert refused(answer, status=404, code="NOT_FOUND") == "There is no such destination prefix."
