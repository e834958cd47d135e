"""Everything that staff do with routing rules, put together."""

from __future__ import annotations

from django.contrib import admin

from routing.admin.rules.editing import EditPage
from routing.admin.rules.listing import ListPage
from routing.admin.rules.removing import RemovePages
from routing.models import RoutingRule


@admin.register(RoutingRule)
class RoutingRuleAdmin(ListPage, EditPage, RemovePages):
    view_on_site = False
