"""How the tests use the console's pages of rate sheets."""

from __future__ import annotations

import re
from typing import Any, Final

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from operators.models import Operator
from routing.models import RateSheet
from tests.routing.imports.cast import content, row

LIST: Final = "/admin/routing/ratesheet/"
ADD: Final = f"{LIST}add/"
SHEET: Final = content(row("+4479", "0.05"), row("+4478", "0.06"))
JSON: Final = {"Accept": "application/json"}


def page(name: str, sheet: RateSheet) -> str:
    return reverse(f"admin:routing_ratesheet_{name}", args=[sheet.pk])


def chosen(operator: Operator, body: bytes = SHEET, name: str = "prices.csv", **changes: Any) -> dict[str, Any]:
    """Build what a browser sends from the upload's form."""
    typed = {"operator": str(operator.pk), "currency": "", "effective_from": ""}
    return {**typed, "file": SimpleUploadedFile(name, body), **changes}


def upload(client: Client, operator: Operator, body: bytes = SHEET, **changes: Any) -> RateSheet:
    """Send a file as a browser without scripts does, and find the sheet that it led to."""
    response = client.post(ADD, chosen(operator, body, **changes))
    assert response.status_code == 302, response.content
    return RateSheet.objects.get(pk=response["Location"].split("/")[-3])


def reading(client: Client, sheet: RateSheet, **changes: Any) -> dict[str, Any]:
    """Build what a browser sends when somebody corrects how a sheet is read, and previews it again."""
    sent: dict[str, Any] = {}
    for box in client.get(page("change", sheet)).context["reading"]:
        value = box.value()
        if isinstance(value, bool):
            if value:
                sent[box.html_name] = "on"
        else:
            sent[box.html_name] = (
                shown if isinstance(shown := box.field.widget.format_value(value), str) else value or ""
            )
    return {name: value for name, value in (sent | changes).items() if value is not None}


def applying(client: Client, sheet: RateSheet, **changes: Any) -> dict[str, Any]:
    """Build what a browser sends when somebody applies what the sheet's page shows."""
    form = client.get(page("change", sheet)).context["applying"]
    return {"seen": form["seen"].value(), "reason": "", **changes}


def text_of(response: Any) -> str:
    """What a person reads: no tags, and blanks as one."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))
