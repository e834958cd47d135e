"""The real commands, as processes beside the bench."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection


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
