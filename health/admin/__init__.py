"""The console's pages about health."""

from __future__ import annotations

from health.admin import registry  # noqa: F401 - importing registers them
