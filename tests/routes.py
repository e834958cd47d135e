"""Every address that a listener serves, read from its URL resolver, so that no list of ours can lag behind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY")
PARAMETER: Final = re.compile(r"<(?:(\w+):)?(\w+)>")


def routes(urlconf: str | None = None) -> list[str]:
    """Return the routes as they are written, such as `v1/admin/operators/<uuid:operator_id>`, in their order."""
    return list(dict.fromkeys(_walk(get_resolver(urlconf).url_patterns)))


def _walk(patterns: Any, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        # Only the console's catch-all is a regular expression; any address below it stands for it.
        is_plain = isinstance(pattern.pattern, RoutePattern)
        route = prefix + (str(pattern.pattern) if is_plain else "<path:anything>")
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route if str(pattern.pattern) else prefix)
        elif isinstance(pattern, URLPattern):
            yield route


def address(route: str, values: Mapping[str, str], *, otherwise: str) -> str:
    """Fill in a route's parameters: those that are named in `values`, and `otherwise` for all others."""
    return "/" + PARAMETER.sub(lambda found: values.get(found[2], otherwise), route)
