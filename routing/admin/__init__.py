"""The console's pages about routing."""

from __future__ import annotations

from routing.admin import destinations  # noqa: F401 - importing registers them
