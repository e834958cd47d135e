"""The real commands, as processes beside the bench."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from django.conf import settings
from django.db import connection

from deploy.dev.ports import free_port


def drainer_process() -> AbstractContextManager[subprocess.Popen[bytes]]:
    return leading_process("drain_outbox")


def ingest_process(*arguments: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return leading_process("ingest_health", *arguments)


@contextmanager
def leading_process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of manage.py that works in one process at a time, and wait until it leads."""
    process = subprocess.Popen([sys.executable, "manage.py", *command], cwd=settings.BASE_DIR)
    try:
        with connection.cursor() as cursor:
            while True:
                assert process.poll() is None, f"{command[0]} ended"
                cursor.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted")
                if cursor.fetchone():
                    break
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def web_process() -> Iterator[HTTPConnection]:
    """Run gunicorn as in production, with one worker, and give a connection to it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "config.wsgi", "-c", "config/gunicorn.py"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "WEB_CONCURRENCY": "1"},
    )
    client = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        while True:
            assert process.poll() is None, "gunicorn ended"
            try:
                client.request("GET", "/health/live")
                client.getresponse().read()
                break
            except OSError:
                client.close()
                time.sleep(0.1)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def resident_megabytes(process: subprocess.Popen[bytes]) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024
