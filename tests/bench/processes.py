"""The real commands, as processes beside the bench."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

from django.conf import settings
from django.db import connection

from deploy.dev.ports import free_port


@contextmanager
def drainer_process() -> Iterator[subprocess.Popen[bytes]]:
    """Run `manage.py drain_outbox` and wait until it leads."""
    process = subprocess.Popen([sys.executable, "manage.py", "drain_outbox"], cwd=settings.BASE_DIR)
    try:
        with connection.cursor() as cursor:
            while True:
                assert process.poll() is None, "the drainer ended"
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
