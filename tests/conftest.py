"""Real servers for every run, and the few fixtures that most tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import django
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.servers import TestServers

if TYPE_CHECKING:
    from django.test import Client
    from rest_framework.test import APIClient

    from deploy.dev.nats import Nats
    from deploy.dev.openbao import OpenBao
    from deploy.dev.postgres import Postgres
    from operators.actors import Actor

_servers: TestServers | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers before Django reads its settings; xdist's controller runs no test and needs none."""
    global _servers
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return
    _servers = TestServers()
    _servers.start()
    os.environ.update(_servers.environ(), OPS_DOTENV=os.devnull, DJANGO_SETTINGS_MODULE="config.settings")
    os.environ["OTEL_TRACES_SAMPLER"] = "parentbased_always_on"  # nothing is exported, but tests look at spans
    django.setup()
    from tests.flushing import let_flush
    from tests.statics import share_static_files

    let_flush()
    share_static_files()


def pytest_unconfigure() -> None:
    if _servers is not None:
        _servers.stop()


@pytest.fixture(scope="session")
def servers() -> TestServers:
    assert _servers is not None
    return _servers


@pytest.fixture(scope="session")
def postgres_server(servers: TestServers) -> Postgres:
    return servers.postgres


@pytest.fixture(scope="session")
def nats_server(servers: TestServers) -> Nats:
    return servers.nats


@pytest.fixture(scope="session")
def openbao(servers: TestServers) -> OpenBao:
    return servers.openbao


@pytest.fixture(scope="session", autouse=True)
def provisioned(servers: TestServers, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give Vault its policies and each role its token, JetStream its streams, and the API a signing key."""
    from django.conf import settings

    from config.devkeys import ensure_dev_keys
    from health.streams import TOPOLOGY as HEALTH_TOPOLOGY
    from operators.jetstream import TOPOLOGY as OPERATOR_TOPOLOGY
    from operators.jetstream import provision
    from operators.provisioning import provision_vault

    tokens = provision_vault(issue_tokens=True)
    key, key_set = ensure_dev_keys(tmp_path_factory.mktemp("keys"))
    tokens |= {"JWT_DEV_KEY_PATH": str(key), "JWT_JWKS_PATH": str(key_set), "JWT_ISSUER": "tests"}
    os.environ.update(tokens)
    settings.VAULT_TOKENS.update(
        {role: tokens[f"VAULT_{role.upper()}_TOKEN"] for role in ("admin", "internal", "reconciler")}
    )
    settings.JWT_DEV_KEY_PATH, settings.JWT_JWKS_PATH = str(key), str(key_set)
    settings.JWT_ISSUER = "tests"
    provision([*OPERATOR_TOPOLOGY, *HEALTH_TOPOLOGY])


@pytest.fixture(autouse=True)
def own_addresses() -> Iterator[None]:
    """Forget the listener of the last request: an answer that is streamed and not read to its end leaves its routes."""
    from django.urls import set_urlconf

    yield
    set_urlconf(None)


@pytest.fixture
def process_env(servers: TestServers, transactional_db: None) -> dict[str, str]:
    """The environment of a real process that works on this test's database."""
    from django.db import connection

    return {**os.environ, "DATABASE_URL": servers.postgres.url_of(connection.settings_dict["NAME"])}


@pytest.fixture
def actor() -> Actor:
    from tests.factories import ALICE

    return ALICE


@pytest.fixture
def drain(transactional_db: None) -> Callable[[], object]:
    """Empty the stream now; the fixture's value publishes what the outbox holds."""
    from django.core.management import call_command

    from tests.streams import purge_stream

    purge_stream()
    return lambda: call_command("drain_outbox", once=True)


@pytest.fixture
def messages() -> Callable[..., list[Any]]:
    from tests.streams import read_stream

    return read_stream


@pytest.fixture
def staff_client(db: None) -> Iterator[Client]:
    """A browser in which a superuser is logged in."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root-of-tests"))
    yield client


@pytest.fixture
def token() -> Callable[..., str]:
    """Make a bearer token: token(scope="ops:read", sub="bob")."""
    from config.devkeys import sign_token

    def make(*, scope: str = "ops:admin", sub: str = "bob", minutes: int = 5) -> str:
        return sign_token(subject=sub, scope=scope, minutes=minutes)

    return make


@pytest.fixture
def api(token: Callable[..., str]) -> APIClient:
    """A client of the admin API whose token may do everything."""
    from rest_framework.test import APIClient

    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token()}")
    return client


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Collect the spans of the system of record for one test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("operators.tracing._tracer", provider.get_tracer("tests"))
    return exporter
