"""What a process loads before it does anything; every command pays for it."""

from __future__ import annotations

import os
import subprocess
import sys

from django.conf import settings

START = """
import sys
import django
django.setup()
from django.core.checks import run_checks
run_checks()
print([name for name in ("numpy", "openpyxl", "opentelemetry.exporter", "django") if name in sys.modules])
"""


def test_it_loads_what_only_lists_and_workbooks_and_exports_need_when_they_come() -> None:
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
    command = [sys.executable, "-c", START]
    loaded = subprocess.run(command, cwd=settings.BASE_DIR, env=environ, check=True, capture_output=True, text=True)

    assert loaded.stdout.strip() == "['django']"
