"""The drainer on a broker whose account has no more room, as a shared or hosted NATS has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from deploy.dev.nats import Nats
from operators import jetstream
from operators.drain import Drainer
from operators.models import OutboxEvent
from tests.outbox import compare, fill, some_operators
from tests.streams import purge_stream, read_stream

pytestmark = pytest.mark.django_db(transaction=True)


class SmallAccount(Nats):
    """Allow our account as much as its streams may ask for, which is little."""

    def prepare(self) -> None:
        super().prepare()
        config = json.loads(self._config_path.read_text())
        login = config.pop("authorization")
        config["accounts"] = {"ours": {"jetstream": {"max_file": 40_000, "max_mem": 0}, "users": [login]}}
        self._config_path.write_text(json.dumps(config))


@pytest.fixture
def small_account(tmp_path: Path, settings: Settings) -> Iterator[None]:
    async def make_stream() -> None:
        async with jetstream.connection("tests") as client:
            config = jetstream.OPERATOR_CONFIG.config()
            config.max_bytes = -1
            await client.jetstream().add_stream(config)

    with SmallAccount(tmp_path) as server:
        settings.NATS_URL = server.url
        asyncio.run(make_stream())
        yield


def test_it_counts_no_attempt_while_the_account_is_full(small_account: None) -> None:
    fill(200, operators=some_operators(5))

    assert not asyncio.run(Drainer(batch=20, max_attempts=1).drain())

    held = read_stream()
    assert 0 < len(held) < 200
    assert not OutboxEvent.objects.parked().exists()
    assert OutboxEvent.objects.pending().filter(attempts=0, available_at=None).count() == 200 - len(held)
    purge_stream()
    assert not asyncio.run(Drainer(batch=20, max_attempts=1).drain())
    figures = compare(held + read_stream())
    assert (figures.unexpected, figures.duplicates, figures.inversions) == (0, 0, 0)
    assert figures.acked > len(held)
