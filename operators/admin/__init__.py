"""The console's pages for staff."""

from __future__ import annotations

from operators.admin import operators, reads, records  # noqa: F401 - importing registers them
