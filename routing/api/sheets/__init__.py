"""The API of rate sheets."""

from __future__ import annotations
