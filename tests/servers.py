from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.dev.nats import Nats
from deploy.dev.openbao import OpenBao
from deploy.dev.postgres import Postgres, remove_home
from deploy.dev.process import command_line
from deploy.dev.server import Server

PREFIX = "ops-tests-"
CONNECTOR = "spiffe://ops.local/ns/sms/sa/smpp-connector"
ROUTER = "spiffe://ops.local/ns/sms/sa/routing-engine"
CALLERS = f"smpp-connector={CONNECTOR};routing-engine={ROUTER}"


class TestServers:
    """Own a PostgreSQL, a nats-server and an OpenBao of one test run, on free ports in a directory of their own.

    Starting takes about three seconds. Nothing is shared with another run or another xdist worker.
    """

    __test__ = False  # the name looks like a test case to pytest

    def __init__(self) -> None:
        _remove_abandoned()
        self.home = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.home.chmod(0o711)  # PostgreSQL runs as another user when we are root
        self.postgres = Postgres(self.home / "postgres", fast=True)
        self.nats = Nats(self.home / "nats")
        self.openbao = OpenBao(self.home / "openbao")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def all(self) -> tuple[Server, ...]:
        return (self.postgres, self.nats, self.openbao)

    def start(self) -> None:
        """Start all three at once; when one fails, none is left and its error is raised."""
        try:
            with ThreadPoolExecutor(max_workers=len(self.all)) as pool:
                list(pool.map(lambda server: server.start(), self.all))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what runs and delete all data."""
        with ThreadPoolExecutor(max_workers=len(self.all)) as pool:
            list(pool.map(lambda server: server.stop(), self.all))
        _remove(self.home)

    def environ(self) -> dict[str, str]:
        """Build the environment by which the settings find these servers."""
        return {
            "DATABASE_URL": self.postgres.dsn,
            "NATS_URL": self.nats.url,
            "VAULT_ADDR": self.openbao.url,
            "VAULT_BOOTSTRAP_TOKEN": self.openbao.root_token,
            "SECRET_KEY": "only-for-tests-" + "0123456789abcdef" * 3,
            "OPS_ENV": "test",
            "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1],testserver",
            "INTERNAL_CALLERS": CALLERS,
        }


def _remove(home: Path) -> None:
    remove_home(home / "postgres")
    shutil.rmtree(home, ignore_errors=True)


def _remove_abandoned() -> None:
    """Delete the directories of runs that were killed; the kernel has ended their servers."""
    for home in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = home.name.removeprefix(PREFIX).split("-")[0]
        with contextlib.suppress(OSError):
            if owner.isdigit() and not command_line(int(owner)) and home.stat().st_uid == os.getuid():
                _remove(home)
