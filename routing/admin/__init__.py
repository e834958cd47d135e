"""The console's pages about routing."""

from __future__ import annotations
