from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from deploy.dev.ports import free_port
from deploy.dev.process import DeathSignal, ServerError, command_line, freeze, spawn

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.03
LOG_TAIL_LINES = 15
LOG_KEEP_BYTES = 5_000_000
PORT_TRIES = 3


class Server(ABC):
    """Own one server process, its directory and its loopback port.

    Port 0 means: choose a free one at the first start and keep it. `start()` after `stop()` or `kill()` comes back on
    the same port with the same data.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[DeathSignal] = "KILL"

    def __init__(self, home: Path, port: int = 0) -> None:
        self.home = home.absolute()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log_path(self) -> Path:
        return self.home / "server.log"

    @property
    def pid_path(self) -> Path:
        return self.home / "server.pid"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Name the running process; raises ServerError when there is none."""
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self.name} is not running.")
        return self._process.pid

    @abstractmethod
    def prepare(self) -> None:
        """Make the directory, the configuration and the first data; called before every start."""

    @abstractmethod
    def command(self) -> list[str]:
        """Build the command line; it names `home`, by which a leftover process is recognised."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Ask the server itself, over its port, whether it takes requests."""

    def unlock(self) -> bool:
        """Do what a server needs between its first answer and its first request; tell whether it is done."""
        return True

    def run_as(self) -> str | None:
        """Name the user the process must run as, when it cannot be the present one."""
        return None

    def start(self) -> None:
        """Start the server unless it runs, and return when it takes requests; raises ServerError after a minute."""
        if self.is_running:
            return
        tries = PORT_TRIES if self.port == 0 else 1
        while True:
            tries -= 1
            self.port = self.port or free_port()
            try:
                self._start_once()
                return
            except ServerError:
                self.kill()
                # Between choosing a port and listening on it somebody else can have taken it.
                if not tries or "address already in use" not in self._log_tail().lower():
                    raise
                self.port = 0
            except BaseException:
                self.kill()
                raise

    def stop(self) -> None:
        """Ask the server to end and wait for it; one that has not ended after 15 s is killed."""
        if self._process is None or self._process.poll() is not None:
            return
        self.resume()
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self.pid_path.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would, and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze the server: its connections stay open and nothing is answered."""
        freeze(self.pid)

    def resume(self) -> None:
        """Let a paused server go on; harmless when it was not paused."""
        os.kill(self.pid, signal.SIGCONT)

    def _start_once(self) -> None:
        self._end_leftover()
        self.prepare()
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_KEEP_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        self.log_path.touch(mode=0o600)
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = spawn(self.command(), output=log, death_signal=self.death_signal, user=self.run_as())
        self.pid_path.write_text(f"{self._process.pid}\n")
        deadline = time.monotonic() + READY_SECONDS
        self._wait_for(self.unlock, deadline)
        self._wait_for(self.is_ready, deadline)

    def _wait_for(self, condition: Callable[[], bool], deadline: float) -> None:
        while not condition():
            code = None if self._process is None else self._process.poll()
            if code is not None:
                raise ServerError(self._complaint(f"ended with exit code {code} while starting"))
            if time.monotonic() > deadline:
                raise ServerError(self._complaint(f"was not ready after {READY_SECONDS:.0f} s"))
            time.sleep(POLL_SECONDS)

    def _complaint(self, what: str) -> str:
        return f"{self.name} {what} (port {self.port}). The end of {self.log_path}:\n{self._log_tail()}"

    def _log_tail(self) -> str:
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _end_leftover(self) -> None:
        """End a server that an earlier owner could not stop: two on the same data would destroy it."""
        try:
            pid = int(self.pid_path.read_text())
        except (OSError, ValueError):
            return
        # The number may meanwhile belong to a stranger; only ours has our directory on its command line.
        deadline = time.monotonic() + STOP_SECONDS
        while str(self.home) in command_line(pid):
            late = time.monotonic() > deadline
            with contextlib.suppress(ProcessLookupError):  # it may end between two of these lines
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL if late else self.stop_signal)
            time.sleep(0.2)
        self.pid_path.unlink(missing_ok=True)
