from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.dev.process import spawn

# The drainer finishes its batch, and gunicorn the requests it has taken, before they end.
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Service:
    """Name one long-running process: its command line and what its environment has beyond the common one."""

    name: str
    command: list[str]
    environ: Mapping[str, str]


@dataclass(frozen=True)
class Ended:
    name: str
    exit_code: int


class Processes:
    """Run services side by side and print their lines, each after the name of the one that wrote it."""

    def __init__(self, services: list[Service], *, environ: Mapping[str, str], cwd: Path) -> None:
        self.services = services
        self.environ = environ
        self.cwd = cwd
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._readers: list[threading.Thread] = []
        self._width = max(len(service.name) for service in services)

    def start(self) -> None:
        for service in self.services:
            process = spawn(
                service.command,
                output=subprocess.PIPE,
                death_signal="TERM",
                environ={**self.environ, **service.environ},
                cwd=self.cwd,
            )
            self._running[service.name] = process
            reader = threading.Thread(target=self._relay, args=(service.name, process), daemon=True)
            reader.start()
            self._readers.append(reader)

    def ended(self) -> Ended | None:
        """Tell which service has ended, if one has; none of them should."""
        for name, process in self._running.items():
            if process.poll() is not None:
                return Ended(name, process.returncode)
        return None

    def stop(self) -> None:
        """Ask all to finish, and kill those that have not after 20 s."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for name, process in self._running.items():
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                print(f"{name} did not stop within {STOP_SECONDS:.0f} s and is killed.", flush=True)
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.join(1)

    def _relay(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip("\n")
                # One write for text and line end, so that lines of two services never run into each other.
                sys.stdout.write(f"{name:<{self._width}} | {text}\n")
                sys.stdout.flush()
