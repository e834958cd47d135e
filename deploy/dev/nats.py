from __future__ import annotations

import json
import secrets
import socket
from pathlib import Path
from typing import ClassVar

from deploy.dev.ports import LOOPBACK
from deploy.dev.process import venv_program
from deploy.dev.server import Server


class Nats(Server):
    """Run nats-server with JetStream on files that are synced before each acknowledgement."""

    name: ClassVar[str] = "nats-server"

    def __init__(self, home: Path, port: int = 0, *, user: str = "ops") -> None:
        super().__init__(home, port)
        self.user = user

    @property
    def url(self) -> str:
        return f"nats://{self.user}:{self._password()}@{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = {
            "listen": f"{LOOPBACK}:{self.port}",
            "server_name": "ops-local",
            # By default JetStream acknowledges up to two minutes before the message is safe on disk.
            "jetstream": {"store_dir": str(self.home / "data"), "sync_interval": "always"},
            "authorization": {"user": self.user, "password": self._password()},
        }
        self._config_path.touch(mode=0o600)
        self._config_path.write_text(json.dumps(config, indent=2))

    def command(self) -> list[str]:
        return [venv_program("nats-server"), "-c", str(self._config_path)]

    def is_ready(self) -> bool:
        login = json.dumps({"user": self.user, "pass": self._password(), "verbose": False, "pedantic": False})
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as link, link.makefile("rb") as answers:
                if not answers.readline().startswith(b"INFO "):
                    return False
                link.sendall(f"CONNECT {login}\r\nPING\r\n".encode())
                return answers.readline().strip() == b"PONG"
        except OSError:
            return False

    @property
    def _config_path(self) -> Path:
        return self.home / "nats.conf"

    def _password(self) -> str:
        path = self.home / "password"
        if not path.exists():
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(16))
        return path.read_text()
