"""The connection of a web process to the broker: what the API's own tests cannot see of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.conf import settings

from health.sender import Sender
from operators.pubacks import Outgoing
from tests.proxy import Mode, Proxy
from tests.streams import purge_stream, read_stream

FORKING = """
import os, sys, warnings
import django
django.setup()
from health.sender import sender
from operators.pubacks import Outgoing
warnings.simplefilter("ignore")  # newer Pythons warn of a fork beside threads, which is the case at hand

def send(number):
    return sender.send([Outgoing("smpp.health.forked", b"{}", {"Nats-Msg-Id": f"forked-{os.getpid()}-{number}"})])

assert send(1) == [True]
child = os.fork()
assert send(2) == [True]
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(autouse=True)
def _empty_stream() -> None:
    purge_stream("SMPP_HEALTH")


@pytest.fixture
def sender() -> Iterator[Sender]:
    made = Sender()
    yield made
    made.close()


def messages(count: int) -> list[Outgoing]:
    return [Outgoing("smpp.health.test", b"{}", {"Nats-Msg-Id": str(uuid4())}) for _ in range(count)]


def test_it_begins_anew_in_the_child_of_a_fork() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING],
        cwd=settings.BASE_DIR,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ids = [message.headers["Nats-Msg-Id"].split("-")[1:] for message in read_stream("SMPP_HEALTH")]
    assert len({process for process, _ in ids}) == 2
    assert sorted(number for _, number in ids) == ["1", "2", "2"]


def test_it_begins_anew_after_it_was_closed(sender: Sender) -> None:
    sender.close()
    for _ in range(2):
        assert sender.send(messages(3)) == [True] * 3
        sender.close()
    assert sender.send([]) == []


def test_it_tells_what_no_stream_takes_from_what_one_does(sender: Sender) -> None:
    [known] = messages(1)
    assert sender.send([known, Outgoing("nobody.listens", b"", {}), known]) == [True, False, True]


def test_it_waits_for_a_broker_that_is_slow_and_gives_up_on_one_that_is_silent(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(settings.NATS_URL) as proxy:
        host = settings.NATS_URL.rpartition("@")[0]
        monkeypatch.setattr(settings, "NATS_URL", f"{host}@127.0.0.1:{proxy.port}")
        assert sender.send(messages(1)) == [True]
        proxy.delay, proxy.mode = 1.5, Mode.DELAY
        assert sender.send(messages(5)) == [True] * 5
        proxy.mode = Mode.BLACKHOLE
        began = time.monotonic()
        assert sender.send(messages(5)) == [False] * 5
        assert 4 < time.monotonic() - began < 12
        sender.close()
