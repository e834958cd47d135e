from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Literal

DeathSignal = Literal["INT", "TERM", "KILL"]

# Servers read PG*, BAO_*, VAULT_* and GO* variables, which the developer has set for something else.
PLAIN_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": "/"}

# A small Linux has no `ps`, and macOS no /proc.
PROC = Path("/proc")

_launcher: ThreadPoolExecutor | None = None


class ServerError(RuntimeError):
    """Say in one readable message why a server of the local stack is not there."""


def _forget_launcher() -> None:
    global _launcher
    _launcher = None


os.register_at_fork(after_in_child=_forget_launcher)


def spawn(
    command: list[str],
    *,
    output: IO[bytes] | int,
    death_signal: DeathSignal,
    user: str | None = None,
    environ: Mapping[str, str] = PLAIN_ENVIRONMENT,
    cwd: Path = Path("/"),
) -> subprocess.Popen[bytes]:
    """Start a process that ends when this one does, even when this one is killed with SIGKILL.

    Only Linux with util-linux can promise that; elsewhere the process has to be stopped by its owner.
    """
    global _launcher
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    # Popen changes the user first: the kernel forgets the death signal of a process that changes its user.
    leash = [setpriv, "--pdeathsig", death_signal] if setpriv else []

    def fork() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*leash, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=environ,
            start_new_session=True,  # Ctrl-C in the terminal must reach the owner alone, which stops them in order
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )

    if _launcher is None:
        # Linux sends the death signal when the forking *thread* ends, so all forks come from one that stays.
        _launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")
    return _launcher.submit(fork).result()


def command_line(pid: int) -> str:
    """Read the command line of a process; empty when there is no such process, or only its exit code is left."""
    if not PROC.exists():
        return _ps("-o", "command=", "-p", str(pid)).strip()
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """List the processes that this one has started and that are still there."""
    if not PROC.exists():
        pairs = [line.split() for line in _ps("-A", "-o", "pid=,ppid=").splitlines()]
        return [int(child) for child, parent in pairs if int(parent) == pid]
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit() and _parent(entry) == pid]


def freeze(pid: int, seconds: float = 5.0) -> None:
    """Stop a process and return when all its threads have stopped: until then one of them may still answer.

    A process that is gone, or that sleeps in the kernel for longer than `seconds`, is left to what it does.
    """
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return
    give_up_at = time.monotonic() + seconds
    while not _is_frozen(pid) and time.monotonic() < give_up_at:
        time.sleep(0.002)


def _is_frozen(pid: int) -> bool:
    if not PROC.exists():
        return _ps("-o", "stat=", "-p", str(pid)).strip().startswith(("T", "Z")) or not command_line(pid)
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return True
    return all((_state_and_parent(thread) or "Z")[0] in "TtZX" for thread in threads)


def _parent(entry: Path) -> int | None:
    fields = _state_and_parent(entry)
    return int(fields[1]) if fields else None


def _state_and_parent(entry: Path) -> tuple[str, str] | None:
    try:
        # The name, in brackets, may hold spaces and brackets; after the last one come state and parent.
        state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return None
    return state, parent


def _ps(*options: str) -> str:
    return subprocess.run(["ps", *options], capture_output=True, text=True, check=False).stdout


def venv_program(name: str) -> str:
    """Find a server program that a wheel has put beside the running Python."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise ServerError(f"{name} is missing: run `make venv`, or install deploy/dev/servers.txt with pip.")
    return found
