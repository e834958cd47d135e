"""System checks of the settings: what is wrong in production is an error here, before the first request."""

from __future__ import annotations
