"""The console's pages through gunicorn and every middleware."""

from __future__ import annotations

import time
from collections.abc import Iterable
from http.client import HTTPConnection
from typing import Final

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.bench.processes import web_process
from tests.bench.results import Result, percentile

WARM_UP: Final = 10


def signed_in() -> Client:
    """Sign in as somebody who may see everything."""
    users = get_user_model().objects
    client = Client()
    client.force_login(users.filter(username="bench").first() or users.create_superuser("bench"))
    return client


def query_count(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        page = client.get(address)
    assert page.status_code == 200, page.status_code
    return len(queries)


def page_times(client: Client, addresses: Iterable[str], mark: bytes) -> list[float]:
    """Ask a server of its own for these pages, one after the other, and return the milliseconds of each.

    The first ten are left out; `mark` must be in each.
    """
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    with web_process() as server:
        return [_timed(server, cookie, address, mark) for address in addresses][WARM_UP:]


def page_result(what: str, times: list[float], target: int) -> Result:
    return Result(
        f"{what}, ms p50/p95/p99",
        "/".join(f"{percentile(times, percent):.0f}" for percent in (50, 95, 99)),
        f"p95 <= {target}",
        percentile(times, 95) <= target,
    )


def _timed(server: HTTPConnection, cookie: str, address: str, mark: bytes) -> float:
    """Return the milliseconds of one request, the loopback's included."""
    began = time.perf_counter()
    server.request("GET", address, headers={"Cookie": cookie})
    answer = server.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1000
    assert answer.status == 200, answer.status
    assert mark in body
    return took
