"""The connectors' door on the real server: several processes, many threads, and an end without delay."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.conf import settings

from deploy.dev.ports import free_port
from tests.factories import make_operator
from tests.health.api.cast import INTAKE, report
from tests.streams import purge_stream, read_stream


@pytest.fixture
def web(process_env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run gunicorn as production does, on this test's database."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "config.wsgi", "-c", "config/gunicorn.py"],
        cwd=settings.BASE_DIR,
        env={**process_env, "HOST": "127.0.0.1", "PORT": str(port), "WEB_CONCURRENCY": "2", "WEB_THREADS": "4"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{url}/health/live", timeout=1)
            break
        except requests.RequestException:
            time.sleep(0.1)
    yield process, url
    process.kill()
    process.wait()


def test_it_takes_reports_in_every_process_and_stops_at_once(
    web: tuple[subprocess.Popen[bytes], str], token: Callable[..., str]
) -> None:
    process, url = web
    purge_stream("SMPP_HEALTH")
    operator = make_operator()
    headers = {"Authorization": f"Bearer {token()}"}
    batches = [[report(operator) for _ in range(10)] for _ in range(40)]

    def send(batch: list[dict[str, object]]) -> int:
        return requests.post(f"{url}{INTAKE}", json=batch, headers=headers, timeout=10).status_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(send, batches)) == [202] * 40
    sent = {each["eventId"] for batch in batches for each in batch}
    assert {message.body["eventId"] for message in read_stream("SMPP_HEALTH")} == sent

    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - began < 8
