"""The addresses of routing, under /v1/admin/ and under /v1/internal/."""

from __future__ import annotations

from django.urls import URLPattern

admin: list[URLPattern] = []
internal: list[URLPattern] = []
