"""System checks of the system of record."""

from __future__ import annotations
