"""Bring database, Vault, JetStream and staff groups to what the service needs; safe to run again at any time."""

from __future__ import annotations

import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from nats.errors import Error as NatsError

from config.devcerts import ensure_dev_certificates
from config.devkeys import ensure_dev_keys
from config.groups import ensure_groups
from health.streams import TOPOLOGY as HEALTH_TOPOLOGY
from operators.errors import VaultUnavailable
from operators.jetstream import TOPOLOGY as OPERATOR_TOPOLOGY
from operators.jetstream import TopologyConflict, provision
from operators.provisioning import provision_vault
from routing.prefixes import is_loaded


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = ()  # it makes what some of them look for

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--env-file",
            type=Path,
            default=Path(os.environ.get("OPS_DOTENV", settings.BASE_DIR / ".dev" / "env")),
            help="development: where tokens and key paths are written for manage.py (default: %(default)s)",
        )

    def handle(self, *, env_file: Path, verbosity: int, **options: Any) -> None:
        self.stdout.write("database: schema and migrations")
        call_command("migrate", interactive=False, verbosity=max(verbosity - 1, 0), stdout=self.stdout)
        # Dropping is for the nightly run, whose guard a person may have to answer.
        call_command("maintain_partitions", keep_old=True, verbosity=0, stdout=self.stdout)
        if not is_loaded():
            self.stdout.write("destination prefixes")
            call_command("load_destination_prefixes", verbosity=0, stdout=self.stdout)
        self.stdout.write("Vault: mount, policies, roles")
        try:
            tokens = provision_vault(issue_tokens=settings.ENVIRONMENT == "development")
        except VaultUnavailable as error:
            raise CommandError(f"Vault at {settings.VAULT_ADDR}: {error}") from None
        self.stdout.write("JetStream: streams, consumers, buckets")
        try:
            provision([*OPERATOR_TOPOLOGY, *HEALTH_TOPOLOGY])
        except (NatsError, OSError, TimeoutError, TopologyConflict) as error:
            raise CommandError(f"NATS: {error}") from None
        self.stdout.write("staff groups")
        ensure_groups()
        if settings.ENVIRONMENT == "development":
            self._prepare_development(env_file, tokens)
        self.stdout.write(self.style.SUCCESS("bootstrap done"))

    def _prepare_development(self, env_file: Path, tokens: dict[str, str]) -> None:
        # Production images do not carry deploy/dev.
        from deploy.dev import env_file as local_env

        key, key_set = ensure_dev_keys(env_file.parent / "keys")
        local_env.update(
            env_file,
            {
                **tokens,
                "JWT_DEV_KEY_PATH": str(key),
                "JWT_JWKS_PATH": str(key_set),
                "JWT_ISSUER": "development",
                **ensure_dev_certificates(env_file.parent / "certificates"),
            },
        )
        users = get_user_model()
        if users.objects.filter(is_superuser=True).exists():
            return
        password = secrets.token_urlsafe(12)
        users.objects.create_superuser("admin", password=password)
        self.stdout.write(f"\n  first login, shown only now:  admin  /  {password}\n")
