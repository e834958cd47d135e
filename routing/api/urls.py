"""The addresses of routing, under /v1/admin/ and under /v1/internal/."""

from __future__ import annotations

from django.urls import URLPattern, path

from routing.api.destinations import views as destinations

admin: list[URLPattern] = [
    path("destination-prefixes", destinations.DestinationList.as_view(), name="destination-prefixes"),
    path("destination-prefixes/<uuid:prefix_id>", destinations.DestinationDetail.as_view(), name="destination-prefix"),
]
internal: list[URLPattern] = []
