"""The console's site: the product's name, the order of its sections, and what its first page shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

from django.contrib.admin import AdminSite
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse

SECTIONS: Final = ("operators", "health", "routing", "auth")
FIRST_MODELS: Final = (
    *("HealthStatus", "Operator", "AuditEntry", "CredentialRead", "OutboxEvent"),
    *("RoutingRule", "RouteSimulator", "RoutingReports"),
)
# Pages of routing that are no model's: name, object_name, and the name of the address.
ROUTING_PAGES: Final = (
    ("Route simulator", "RouteSimulator", "routing-simulator"),
    ("Reports", "RoutingReports", "routing-reports"),
)

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


class OpsAdminSite(AdminSite):
    site_header = "Operator Management"
    site_title = "Operator Management"
    index_title = "Overview"
    site_url = None
    enable_nav_sidebar = True

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Refuse NUL in an address: PostgreSQL holds none in a text, so every filter and search would fail on it."""

        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if "%00" in request.META.get("QUERY_STRING", ""):
                raise BadRequest("NUL is not text.")
            return view(request, *args, **kwargs)

        return super().admin_view(cast(View, checked), cacheable)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from operators.admin.overview import (
            overview,
        )  # the pages register themselves on this site: not before it exists

        user = request.user
        shown = overview() if user.has_perm("operators.view_operator") else None
        may_read = {
            "may_read_audit": user.has_perm("operators.view_auditentry"),
            "may_read_outbox": user.has_perm("operators.view_outboxevent"),
            "may_read_health": user.has_perm("health.view_healthstatus"),
        }
        return super().index(request, {"overview": shown, **may_read, **(extra_context or {})})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Put what staff use daily first."""
        sections: list[Any] = super().get_app_list(request, app_label)
        for section in sections:
            if section["app_label"] == "auth":
                section["name"] = "Staff"
            elif section["app_label"] == "routing" and request.user.has_perm("routing.view_routingrule"):
                section["models"].extend(_page(*page) for page in ROUTING_PAGES)
            section["models"].sort(key=lambda model: _rank(model["object_name"], FIRST_MODELS))
        return sorted(sections, key=lambda section: _rank(section["app_label"], SECTIONS))


def _page(name: str, object_name: str, address: str) -> dict[str, Any]:
    """Describe a page as Django does a model that may be read and not changed."""
    return {
        "name": name,
        "object_name": object_name,
        "admin_url": reverse(address),
        "add_url": None,
        "perms": {"add": False, "change": False, "delete": False, "view": True},
        "view_only": True,
    }


def _rank(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
