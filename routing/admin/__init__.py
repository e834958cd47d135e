"""The console's pages about routing."""

from __future__ import annotations

from routing.admin import destinations, ratesheets, rules  # noqa: F401 - importing registers them
