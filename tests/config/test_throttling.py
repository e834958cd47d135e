"""How often one caller may call, and upload."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from config import throttling
from routing.models import RateSheet
from tests.factories import make_operator
from tests.operators.console import member_of

pytestmark = pytest.mark.django_db

OPERATORS = "/v1/admin/operators"


@pytest.fixture(autouse=True)
def fresh_buckets(settings: Settings) -> Iterator[None]:
    # So seldom that none comes back while a slow machine makes six calls.
    settings.ADMIN_API_PER_SECOND, settings.ADMIN_API_BURST = 0.05, 5
    settings.UPLOADS_PER_MINUTE, settings.UPLOADS_BURST = 2, 2
    throttling.calls.cache_clear()
    throttling.uploads.cache_clear()
    yield
    throttling.calls.cache_clear()
    throttling.uploads.cache_clear()


def client_of(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def test_it_answers_429_with_when_to_come_back(api: APIClient) -> None:
    statuses = [api.get(OPERATORS).status_code for _ in range(5)]
    refused = api.get(OPERATORS)

    assert statuses == [200] * 5
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 20
    assert refused["Content-Type"] == "application/problem+json"
    assert refused["Cache-Control"] == "no-store"
    body = refused.json()
    assert (body["code"], body["status"], body["instance"]) == ("RATE_LIMITED", 429, OPERATORS)


def test_it_counts_by_the_subject_and_not_by_the_token(token: Callable[..., str]) -> None:
    answers = [client_of(token(minutes=number, sub="bob")).get(OPERATORS).status_code for number in range(1, 7)]

    assert answers == [200] * 5 + [429]
    assert client_of(token(sub="carol")).get(OPERATORS).status_code == 200


def test_it_counts_refused_and_wrong_calls_too(api: APIClient) -> None:
    statuses = [api.post(OPERATORS, {}).status_code for _ in range(6)]

    assert statuses == [400] * 5 + [429]


def test_a_call_without_a_valid_token_takes_nobodys_share(api: APIClient) -> None:
    assert [APIClient().get(OPERATORS).status_code for _ in range(20)] == [401] * 20
    assert api.get(OPERATORS).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_it_counts_uploads_besides(api: APIClient) -> None:
    url = f"{OPERATORS}/{make_operator().pk}/rate-sheets?dryRun=true"

    answers = [api.post(url, b"Prefix,Price\n+44,1\n", content_type="text/csv") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1]["Retry-After"]) >= 29
    assert api.get(OPERATORS).status_code == 200, "other calls go on"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_it_counts_uploads_in_the_console(accept: str) -> None:
    operator = make_operator()
    client = member_of("Rate manager")

    def upload() -> tuple[int, str, str]:
        file = SimpleUploadedFile("prices.csv", b"Prefix,Price\nx,1\n")
        form = {"operator": str(operator.pk), "file": file}
        answer = client.post("/admin/routing/ratesheet/add/", form, headers={"accept": accept})
        return answer.status_code, answer.get("Retry-After", ""), answer.content.decode()

    seen = [upload() for _ in range(3)]

    assert [status for status, _, _ in seen[:2]] in ([302, 302], [201, 201])
    status, wait, body = seen[-1]
    assert (status, math.isclose(int(wait), 30, abs_tol=2)) == (429, True)
    assert f"Wait {wait} seconds" in body
    assert body.startswith('{"errors"') == (accept == "application/json")
    assert RateSheet.objects.count() == 2


@pytest.mark.parametrize("address", ["/admin/login/", "/admin/", "/admin/password_change/"])
@pytest.mark.parametrize("is_staff", [True, False], ids=["staff", "stranger"])
def test_a_file_comes_in_nowhere_else(address: str, is_staff: bool, settings: Settings) -> None:
    settings.UPLOADS_BURST = 100
    throttling.uploads.cache_clear()
    client = member_of("Administrator") if is_staff else Client()
    client.handler.enforce_csrf_checks = True
    client.get("/admin/password_change/" if is_staff else "/admin/login/")
    assert "csrftoken" in client.cookies

    answer = client.post(address, {"file": SimpleUploadedFile("big.bin", b"x" * 10_000_000)})

    # The check of the form's token reads the body first, whatever the address would have said.
    assert answer.status_code == 413
    assert "Nothing was changed" in answer.content.decode()
