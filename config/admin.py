"""The console's site: the product's name, and a first page that shows what needs attention."""

from __future__ import annotations

from django.contrib.admin import AdminSite


class OpsAdminSite(AdminSite):
    site_header = "Operator Management"
    site_title = "Operator Management"
    index_title = "Overview"
