"""The internal API against its own OpenAPI description, as each of its callers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from tests.conformance.test_admin_api import BRIEFLY, ask_everything
from tests.servers import CONNECTOR, ROUTER

if TYPE_CHECKING:
    from tests.conformance.described import Described


@pytest.fixture(params=[CONNECTOR, ROUTER], ids=["smpp-connector", "routing-engine"])
def described(request: pytest.FixtureRequest) -> Iterator[Described]:
    from tests.conformance.described import described_internal

    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    yield described_internal(request.param)
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


def test_it_does_what_its_description_says(transactional_db: None, described: Described) -> None:
    ask_everything(described.schema, BRIEFLY)
    assert sum(described.statuses.values()) > 50
    assert sum(count for (_, status), count in described.wanted.items() if status < 300) > 5, described.wanted
