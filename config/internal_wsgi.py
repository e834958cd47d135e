"""The internal API's entry point: `gunicorn config.internal_wsgi -c config/internal_gunicorn.py`."""

from __future__ import annotations

import os

os.environ["OPS_LISTENER"] = "internal"  # before the settings are read

from config.wsgi import application

__all__ = ["application"]
