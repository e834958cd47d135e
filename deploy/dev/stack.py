from __future__ import annotations

import json
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.dev import env_file
from deploy.dev.nats import Nats
from deploy.dev.openbao import OpenBao
from deploy.dev.ports import is_free
from deploy.dev.postgres import Postgres
from deploy.dev.process import ServerError
from deploy.dev.server import Server

PROJECT = Path(__file__).resolve().parents[2]
DEV_DIR = PROJECT / ".dev"


class Stack:
    """Own the servers of one clone, except those that DATABASE_URL, NATS_URL or VAULT_ADDR say exist elsewhere.

    Data, ports and the environment file are kept under `base_dir` from one run to the next.
    """

    postgres: Postgres | None
    nats: Nats | None
    openbao: OpenBao | None

    def __init__(self, base_dir: Path = DEV_DIR) -> None:
        self.base_dir = base_dir.absolute()
        self.env_path = self.base_dir / "env"
        self._ports_path = self.base_dir / "ports.json"
        ports = self._remembered_ports()
        self.postgres = self.nats = self.openbao = None
        if not os.environ.get("DATABASE_URL"):
            self.postgres = Postgres(self.base_dir / "postgres", ports.get("postgres", 0))
        if not os.environ.get("NATS_URL"):
            self.nats = Nats(self.base_dir / "nats", ports.get("nats", 0))
        if not os.environ.get("VAULT_ADDR"):
            self.openbao = OpenBao(self.base_dir / "openbao", ports.get("openbao", 0))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def servers(self) -> list[Server]:
        return [server for server in (self.postgres, self.nats, self.openbao) if server is not None]

    def start(self) -> None:
        """Start what is missing, all at once, and write the environment file; on failure nothing keeps running."""
        prepare_dir(self.base_dir)
        given_token = os.environ.get("VAULT_BOOTSTRAP_TOKEN") or os.environ.get("VAULT_TOKEN")
        if self.openbao is None and not given_token:
            raise ServerError("VAULT_ADDR is set: set VAULT_BOOTSTRAP_TOKEN too, to a token that may bootstrap it.")
        for server in self.servers:
            if server.port and not is_free(server.port):
                server.port = 0
        try:
            with ThreadPoolExecutor(max_workers=3) as pool:
                list(pool.map(lambda server: server.start(), self.servers))
        except BaseException:
            self.stop()
            raise
        self._ports_path.write_text(json.dumps({**self._remembered_ports(), **self._ports()}, indent=2) + "\n")
        env_file.update(self.env_path, self.environ())

    def stop(self) -> None:
        """Stop the servers that are ours; their data stays."""
        with ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(lambda server: server.stop(), self.servers))

    def environ(self) -> dict[str, str]:
        """Build what manage.py and the processes need to reach the servers; a value that is set already wins."""
        kept = env_file.read(self.env_path)
        own = {
            "DATABASE_URL": self.postgres.dsn if self.postgres else "",
            "NATS_URL": self.nats.url if self.nats else "",
            "VAULT_ADDR": self.openbao.url if self.openbao else "",
            "SECRET_KEY": kept.get("SECRET_KEY") or secrets.token_urlsafe(48),
            "OPS_ENV": "development",
            "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        }
        environ = {key: os.environ.get(key) or value for key, value in own.items()}
        token = os.environ.get("VAULT_BOOTSTRAP_TOKEN") or os.environ.get("VAULT_TOKEN") or ""
        environ["VAULT_BOOTSTRAP_TOKEN"] = self.openbao.root_token if self.openbao else token
        return environ

    def _ports(self) -> dict[str, int]:
        named = {"postgres": self.postgres, "nats": self.nats, "openbao": self.openbao}
        return {name: server.port for name, server in named.items() if server is not None}

    def _remembered_ports(self) -> dict[str, int]:
        try:
            ports: dict[str, int] = json.loads(self._ports_path.read_text())
        except (OSError, ValueError):
            return {}
        return ports


def prepare_dir(base_dir: Path) -> None:
    """Make the directory that holds passwords: closed to others, but PostgreSQL's own user must walk through it."""
    base_dir.mkdir(parents=True, exist_ok=True)
    base_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
