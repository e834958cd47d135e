"""ETag, If-Match and If-None-Match."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from operators.models import Operator
from tests.factories import make_operator
from tests.operators.api.cast import OPERATORS, SMALLEST, address, errors, refused


@pytest.fixture
def operator(db: None) -> Operator:
    return make_operator()


def test_it_asks_which_version_a_patch_is_for(api: APIClient, operator: Operator) -> None:
    answer = api.patch(address(operator), {"port": 1})
    refused(answer, status=428, code="PRECONDITION_REQUIRED")


@pytest.mark.parametrize("seen", ['"1"', "*", ' "1" '])
def test_it_changes_the_version_that_was_seen(api: APIClient, operator: Operator, seen: str) -> None:
    assert api.patch(address(operator), {"port": 1}, HTTP_IF_MATCH=seen).status_code == 200


@pytest.mark.parametrize("seen", ['"2"', '"0"', '"999999999999999999"', 'W/"1"', '"one"', '""'])
def test_it_refuses_a_version_that_is_not_the_present_one(api: APIClient, operator: Operator, seen: str) -> None:
    answer = api.patch(address(operator), {"port": 1}, HTTP_IF_MATCH=seen)
    refused(answer, status=412, code="PRECONDITION_FAILED")
    operator.refresh_from_db()
    assert (operator.port, operator.version) == (2775, 1)


@pytest.mark.parametrize("seen", ["1", '"1', '"1"x', '"1", "2"', "", '"' + "9" * 40 + '" x'])
def test_it_refuses_what_is_no_etag(api: APIClient, operator: Operator, seen: str) -> None:
    assert set(errors(api.patch(address(operator), {"port": 1}, HTTP_IF_MATCH=seen))) == {"If-Match"}


def test_it_says_who_was_faster(api: APIClient, operator: Operator) -> None:
    assert api.patch(address(operator), {"port": 1}, HTTP_IF_MATCH='"1"').status_code == 200
    detail = refused(
        api.patch(address(operator), {"port": 2}, HTTP_IF_MATCH='"1"'), status=412, code="PRECONDITION_FAILED"
    )
    assert detail == "The operator is at version 2, not 1: bob changed it meanwhile."


def test_it_honours_if_match_on_every_change(api: APIClient, operator: Operator) -> None:
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("put", "/tps-limit", {"maxTps": 5}),
        ("post", "/activate", None),
        ("post", "/suspend", None),
        ("post", "/deactivate", None),
        ("delete", "", None),
    ]
    for version, (method, tail, body) in enumerate(calls, start=1):
        call = getattr(api, method)
        stale = call(address(operator, tail), body, HTTP_IF_MATCH=f'"{version + 1}"')
        refused(stale, status=412, code="PRECONDITION_FAILED")
        done = call(address(operator, tail), body, HTTP_IF_MATCH=f'"{version}"')
        assert done.status_code in (200, 204), (tail, done.content)
    refused(api.post(address(operator, "/restore"), HTTP_IF_MATCH='"1"'), status=412, code="PRECONDITION_FAILED")
    assert api.post(address(operator, "/restore"), HTTP_IF_MATCH='"6"')["ETag"] == '"7"'


@pytest.mark.parametrize("tail", ["", "/tps-limit"])
def test_it_sends_nothing_to_who_has_it_already(api: APIClient, operator: Operator, tail: str) -> None:
    for held in ('"1"', 'W/"1"', '"0", "1"', "*"):
        answer = api.get(address(operator, tail), HTTP_IF_NONE_MATCH=held)
        assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", '"1"')
    for other in ('"2"', "1", ""):
        assert api.get(address(operator, tail), HTTP_IF_NONE_MATCH=other).status_code == 200


def test_its_head_is_its_get_without_the_body(api: APIClient, operator: Operator) -> None:
    answer = api.head(address(operator))
    assert (answer.status_code, answer.content, answer["ETag"]) == (200, b"", '"1"')


def test_it_answers_options_with_what_it_takes(api: APIClient, operator: Operator) -> None:
    answer = api.options(address(operator))
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["Allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"


def test_it_points_at_what_it_created(api: APIClient, db: None) -> None:
    answer = api.post(OPERATORS, SMALLEST)
    assert answer["Location"] == f"{OPERATORS}/{answer.json()['operatorId']}"
    assert api.get(answer["Location"])["ETag"] == answer["ETag"] == '"1"'


@pytest.mark.django_db(transaction=True)
def test_it_lets_one_of_many_at_once_win(token: Callable[..., str]) -> None:
    operator = make_operator()
    header = f"Bearer {token()}"

    def change(port: int) -> int:
        try:
            client = APIClient()
            answer = client.patch(address(operator), {"port": port}, HTTP_IF_MATCH='"1"', HTTP_AUTHORIZATION=header)
            return answer.status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=6) as pool:
        statuses = sorted(pool.map(change, range(3000, 3006)))
    assert statuses == [200, 412, 412, 412, 412, 412]
    operator.refresh_from_db()
    assert operator.version == 2
