"""What the tests of the house share: its log lines as JSON, its spans as they are finished, an issuer of tokens."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.config.issuer import AUDIENCE, ISSUER, OPERATORS, Ask, Issuer, KeySetServer, serving

if TYPE_CHECKING:
    from pathlib import Path

    from django.http import HttpResponse
    from pytest_django.fixtures import Settings

    from deploy.dev.postgres import Postgres

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return what was logged so far, through the filter and the formatter that stderr has."""
    from config import logs

    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.line_formatter())
    handler.addFilter(logs.OutagesAreShort())
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Collect the process's spans the way a collector would get them, with the attributes that may leave."""
    from config.telemetry import AllowListExporter

    memory = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(SimpleSpanProcessor(AllowListExporter(memory)))
    return memory


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


@pytest.fixture
def postgres_away(transactional_db: None, postgres_server: Postgres) -> Iterator[Callable[[], None]]:
    """Stop PostgreSQL for one test; calling the value brings it back earlier."""
    from django.db import connection

    def come_back() -> None:
        postgres_server.start()
        # A server drops the broken connection at the end of each request, but Django's test client does not.
        connection.close()

    postgres_server.stop()
    yield come_back
    come_back()


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def key_file(issuer: Issuer, tmp_path: Path, settings: Settings) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(issuer.key_set()))
    settings.JWT_ISSUER, settings.JWT_AUDIENCE = ISSUER, AUDIENCE
    settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH = "", str(path)
    return path


@pytest.fixture
def key_server(issuer: Issuer, settings: Settings) -> Iterator[KeySetServer]:
    with serving() as server:
        server.publish(issuer)
        settings.JWT_ISSUER, settings.JWT_AUDIENCE = ISSUER, AUDIENCE
        settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH = server.url, ""
        yield server


@pytest.fixture
def ask(db: None) -> Ask:
    """Send one request with an Authorization header; GET of the list unless told otherwise."""

    def send(token: str | None, *, method: str = "get", header: str | None = None, **extra: str) -> HttpResponse:
        if header is None and token is not None:
            header = f"Bearer {token}"
        if header is not None:
            extra["HTTP_AUTHORIZATION"] = header
        from rest_framework.test import APIClient

        answer: HttpResponse = getattr(APIClient(), method)(OPERATORS, **extra)
        return answer

    return send
