"""Everything that staff do with rate sheets, put together."""

from __future__ import annotations

from django.contrib import admin

from routing.admin.ratesheets.deciding import DecisionPages
from routing.admin.ratesheets.listing import ListPage
from routing.admin.ratesheets.reading import ReadingPages
from routing.admin.ratesheets.uploading import UploadPage
from routing.models import RateSheet


@admin.register(RateSheet)
class RateSheetAdmin(ListPage, UploadPage, ReadingPages, DecisionPages):
    view_on_site = False
