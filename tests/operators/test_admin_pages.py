from __future__ import annotations

import re
from typing import Final

import pytest
from django.template.loader import render_to_string
from django.test import Client

from operators.models import AuditEntry, OutboxEvent
from tests.factories import make_operator
from tests.operators.console import LIST, page

INLINE: Final = re.compile(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)")
OUTSIDE: Final = re.compile(r"""(?:src|href|action)=["'](?:https?:)?//""")


@pytest.mark.parametrize("code", [400, 403, 404, 500, 503])
def test_it_renders_error_pages_without_database_and_under_the_policy(code: int) -> None:
    html = render_to_string(f"{code}.html")  # a query would fail here: the test may not touch the database

    assert "<h1>" in html
    assert not INLINE.search(html)
    assert not OUTSIDE.search(html)


@pytest.mark.django_db
def test_it_shows_a_page_of_ours_for_what_does_not_exist(staff_client: Client) -> None:
    response = staff_client.get("/admin/nothing/")

    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()


@pytest.mark.django_db
def test_it_has_no_inline_code_and_nothing_from_outside_on_any_page(staff_client: Client) -> None:
    operator = make_operator()
    records = [(AuditEntry, "auditentry"), (OutboxEvent, "outboxevent")]
    addresses = [
        "/admin/",
        LIST,
        f"{LIST}?q=nothing",
        f"{LIST}add/",
        *(page(name, operator) for name in ("change", "history", "activate", "rotate", "delete")),
        *(f"/admin/operators/{name}/" for _, name in records),
        *(f"/admin/operators/{name}/{model._default_manager.latest('pk').pk}/change/" for model, name in records),
        "/admin/auth/user/",
        "/admin/auth/user/add/",
        "/admin/auth/group/add/",
        "/admin/password_change/",
    ]

    for address in addresses:
        response = staff_client.get(address)
        assert response.status_code == 200, address
        html = response.content.decode()
        assert not (found := INLINE.search(html)), f"{address}: {found}"
        assert not OUTSIDE.search(html), address


@pytest.mark.django_db
def test_it_bears_the_products_name_at_the_login(client: Client) -> None:
    assert "Operator Management" in client.get("/admin/login/").content.decode()
