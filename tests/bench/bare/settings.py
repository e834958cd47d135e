from __future__ import annotations

from config.settings import *  # noqa: F403 - the same servers
from config.settings import DATABASES

INSTALLED_APPS = ["operators", "django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]
MIDDLEWARE = []
ROOT_URLCONF = "tests.bench.bare.urls"
DATABASES["default"] |= {"ENGINE": "django.db.backends.postgresql", "CONN_HEALTH_CHECKS": False}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
