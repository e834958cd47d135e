from __future__ import annotations

from config.settings import *  # noqa: F403 - the same database and the same hosts

MIDDLEWARE: list[str] = []
ROOT_URLCONF = "tests.bench.bare.urls"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
