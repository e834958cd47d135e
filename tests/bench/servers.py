"""The bench's own servers, with the settings of production: every commit and every message is synced to disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import django

from deploy.dev.postgres import Postgres
from tests.servers import TestServers

_running: list[BenchServers] = []


class BenchServers(TestServers):
    def __init__(self) -> None:
        super().__init__()
        self.postgres = Postgres(self.home / "postgres", fast=False)


@contextmanager
def prepared_service() -> Iterator[BenchServers]:
    """Start the servers, load Django on them, migrate, and provision Vault and JetStream."""
    with BenchServers() as servers:
        _running[:] = [servers]
        os.environ.update(
            servers.environ(), OPS_DOTENV=os.devnull, DJANGO_SETTINGS_MODULE="config.settings", LOG_LEVEL="ERROR"
        )
        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        from health.streams import TOPOLOGY as HEALTH_TOPOLOGY
        from operators.jetstream import TOPOLOGY as OPERATOR_TOPOLOGY
        from operators.jetstream import provision
        from operators.provisioning import provision_vault

        call_command("migrate", verbosity=0)
        tokens = provision_vault(issue_tokens=True)
        os.environ.update(tokens)
        for role in settings.VAULT_TOKENS:
            settings.VAULT_TOKENS[role] = tokens.get(f"VAULT_{role.upper()}_TOKEN", settings.VAULT_TOKENS[role])
        provision([*OPERATOR_TOPOLOGY, *HEALTH_TOPOLOGY])
        yield servers


def running_servers() -> BenchServers:
    """Give a scenario the servers themselves, where it has to stop one."""
    return _running[0]
