"""Who carries a number, over REST."""

from __future__ import annotations
