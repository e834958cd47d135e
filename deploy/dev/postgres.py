from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from deploy.dev.packages import find_postgres, install_postgres
from deploy.dev.ports import LOOPBACK
from deploy.dev.process import PLAIN_ENVIRONMENT, DeathSignal, ServerError, children, command_line, freeze
from deploy.dev.server import POLL_SECONDS, STOP_SECONDS, Server

SERVER_USER = "postgres"
RELOCATED = Path("/var/lib/operator-management-dev")


class Postgres(Server):
    """Run PostgreSQL with pg_partman on a loopback port, with role and database `ops`.

    The role is the superuser of this private server: it makes test databases and extensions. `fast` gives up safety
    against a power cut, never against a crash of the process, for the speed that tests want.
    """

    name: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": open sessions are rolled back and closed
    death_signal: ClassVar[DeathSignal] = "INT"

    def __init__(self, home: Path, port: int = 0, *, fast: bool = False, user: str = "ops") -> None:
        super().__init__(home, port)
        self.link = self.home
        self.fast = fast
        self.user = user

    @property
    def dsn(self) -> str:
        return self.url_of(self.user)

    def url_of(self, database: str) -> str:
        return f"postgres://{self.user}:{self._password()}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        install_postgres()
        self.home = reachable_home(self.link, self.run_as())
        super().start()

    def run_as(self) -> str | None:
        return SERVER_USER if os.geteuid() == 0 else None

    def prepare(self) -> None:
        self.home.mkdir(mode=0o711, parents=True, exist_ok=True)
        if self.home != self.link and not self.link.is_symlink():
            self.link.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            self.link.symlink_to(self.home)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        # A lock file whose process is gone or a stranger's would make the server refuse to start.
        lock = self._data / "postmaster.pid"
        if lock.exists() and str(self._data) not in command_line(int(lock.read_text().split("\n")[0])):
            lock.unlink()

    def command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "off" if self.fast else "on",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        major = int((self._data / "PG_VERSION").read_text())
        return [str(find_postgres(major) / "postgres"), "-D", str(self._data), *flags]

    def unlock(self) -> bool:
        """Make the database; tell whether the server could be asked."""
        try:
            with psycopg.connect(self.url_of("postgres"), connect_timeout=2, autocommit=True) as connection:
                known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [self.user]).fetchone()
                if known is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.user)))
        except psycopg.OperationalError:
            return False
        return True

    def is_ready(self) -> bool:
        try:
            with psycopg.connect(self.dsn, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """End the server and its sessions with SIGKILL, as a crash would, and wait until they are gone."""
        sessions = children(self.pid) if self.is_running else []
        super().kill()
        for pid in sessions:
            _signal(pid, signal.SIGKILL)
        # The next start is refused while one of them still holds the shared memory.
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(command_line, sessions)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def pause(self) -> None:
        """Freeze the server with all its sessions."""
        super().pause()  # the parent first, so that no session is born meanwhile
        for pid in children(self.pid):
            freeze(pid)

    def resume(self) -> None:
        for pid in children(self.pid):
            _signal(pid, signal.SIGCONT)
        super().resume()

    def remove(self) -> None:
        """Stop the server and delete its data, also where it was put out of the way."""
        self.stop()
        remove_home(self.link)

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _password(self) -> str:
        return (self.link / "password").read_text()

    def _initialise(self) -> None:
        # Made aside and renamed when whole: an interrupted first start leaves nothing that looks like data.
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = self.home / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(16))
        if owner := self.run_as():
            shutil.chown(fresh, owner, owner)
            shutil.chown(password, owner, owner)
        initdb = [
            str(find_postgres() / "initdb"),
            *("-D", str(fresh), "--username", self.user, "--pwfile", str(password)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8"),
            *(["--no-sync"] if self.fast else []),
        ]
        # C.UTF-8 sorts alike on every machine, but macOS does not have it.
        for locale in ("C.UTF-8", "C"):
            done = self._run([*initdb, "--locale", locale])
            if done.returncode == 0:
                fresh.rename(self._data)
                return
        raise ServerError(f"PostgreSQL could not make its data directory {self._data}:\n{done.stderr.strip()}")

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        user = self.run_as()
        return subprocess.run(
            command,
            cwd="/",
            env=PLAIN_ENVIRONMENT,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )


def reachable_home(home: Path, user: str | None) -> Path:
    """Choose where the data can lie: at home or, when the server's user cannot get there, under /var/lib."""
    if home.is_symlink():
        return home.resolve()
    if user is None:
        return home
    ancestor = next(parent for parent in home.parents if parent.exists())
    # The answer of the kernel, for this very user: mode bits alone do not tell of access lists and mounts.
    can_enter = subprocess.run(["test", "-x", ancestor], user=user, group=user, extra_groups=[], cwd="/", check=False)
    if can_enter.returncode == 0:
        return home
    name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return RELOCATED / name / "postgres"


def remove_home(home: Path) -> None:
    """Delete a stopped server's directory and, where it was put elsewhere, the link to it."""
    if home.is_symlink():
        shutil.rmtree(home.resolve().parent, ignore_errors=True)
        home.unlink()
    else:
        shutil.rmtree(home, ignore_errors=True)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
