"""Everything that staff do with operators, put together."""

from __future__ import annotations

from django.contrib import admin

from operators.admin.editing import EditPage
from operators.admin.listing import ListPage
from operators.admin.moving import MovePages
from operators.models import Operator


@admin.register(Operator)
class OperatorAdmin(ListPage, EditPage, MovePages):
    view_on_site = False
