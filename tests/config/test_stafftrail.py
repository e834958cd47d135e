"""What the audit trail tells of staff: accounts, groups, and who logs in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client

from operators.models import AuditEntry
from tests.operators.console import member_of

pytestmark = pytest.mark.django_db

PASSWORD = "correct-horse-battery"


def told(**filters: Any) -> list[tuple[str, str, dict[str, Any]]]:
    entries = AuditEntry.objects.filter(**filters).order_by("id")
    return [(entry.action, entry.object_id, entry.changes) for entry in entries]


def test_it_tells_of_an_account_that_a_person_makes_and_changes(staff_client: Client) -> None:
    typed = {"username": "carol", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert staff_client.post("/admin/auth/user/add/", typed).status_code == 302
    carol = User.objects.get(username="carol")
    group = Group.objects.create(name="Night shift")
    change = {
        "username": "carol",
        "first_name": "Carol",
        "is_active": "on",
        "is_staff": "on",
        "groups": [group.pk],
        "date_joined_0": "2026-11-01",
        "date_joined_1": "00:00:00",
    }
    assert staff_client.post(f"/admin/auth/user/{carol.pk}/change/", change).status_code == 302

    by_person = told(actor="root-of-tests", source="console", object_id="carol")
    assert by_person[0] == (
        "create",
        "carol",
        {"username": [None, "carol"], "isActive": [None, True], "password": [None, "set"]},
    )
    assert by_person[1:] == [
        ("update", "carol", {"firstName": ["", "Carol"], "isStaff": [False, True]}),
        ("update", "carol", {"groups": [[], ["Night shift"]]}),
    ]


def test_it_never_tells_a_password_nor_its_hash(staff_client: Client) -> None:
    user = User.objects.create_user("dave", password=PASSWORD)
    old = user.password
    user.set_password("another-horse-battery")
    user.save()

    assert told(object_id="dave")[-1] == ("update", "dave", {"password": ["set", "set anew"]})
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert not any(secret in everything for secret in (PASSWORD, old, user.password, "another-horse-battery"))


def test_it_tells_of_groups_and_their_rights_from_either_side() -> None:
    right = Permission.objects.get(codename="view_operator")
    user = User.objects.create_user("erin")
    group = Group.objects.create(name="Night shift")
    group.permissions.add(right)
    group.user_set.add(user)
    user.user_permissions.set([right])
    user.groups.clear()
    group.permissions.set([])
    group.name = "Day shift"
    group.save()
    group.delete()

    name = str(right)
    assert told(object_type="group") == [
        ("create", "Night shift", {"name": [None, "Night shift"]}),
        ("update", "Night shift", {"permissions": [[], [name]]}),
        ("update", "Night shift", {"permissions": [[name], []]}),
        ("update", "Day shift", {"name": ["Night shift", "Day shift"]}),
        ("delete", "Day shift", {}),
    ]
    assert told(object_type="user", action="update") == [
        ("update", "erin", {"groups": [[], ["Night shift"]]}),
        ("update", "erin", {"permissions": [[], [name]]}),
        ("update", "erin", {"groups": [["Night shift"], []]}),
    ]


def test_it_adds_nothing_where_nothing_differs() -> None:
    user = User.objects.create_user("erin")
    before = AuditEntry.objects.count()

    user.save()
    user.groups.add(*Group.objects.none())
    user.groups.clear()

    assert AuditEntry.objects.count() == before


def test_it_tells_of_log_ins_that_work_and_fail(client: Client) -> None:
    User.objects.create_user("frank", password=PASSWORD, is_staff=True)
    login = "/admin/login/"

    client.post(login, {"username": "frank", "password": "wrong"})
    client.post(login, {"username": "my-password-in-the-wrong-field", "password": "frank"})
    client.post(login, {"username": "frank", "password": PASSWORD})
    client.post("/admin/logout/")

    entries = AuditEntry.objects.filter(action__startswith="log").order_by("id")
    assert [(entry.action, entry.object_id, entry.actor) for entry in entries] == [
        ("login_failed", "frank", "unknown"),
        ("login_failed", "unknown", "unknown"),
        ("log_in", "frank", "frank"),
        ("log_out", "frank", "frank"),
    ]
    assert not AuditEntry.objects.filter(object_id__contains="wrong-field").exists()


def test_it_names_who_ran_a_command() -> None:
    call_command("createsuperuser", username="grace", email="", interactive=False, verbosity=0)

    entry = AuditEntry.objects.get(object_id="grace")
    assert (entry.action, entry.source) == ("create", "command")
    assert ":" in entry.actor and entry.changes["isSuperuser"] == [None, True]


def test_it_shows_on_the_console_what_belongs_to_no_operator() -> None:
    User.objects.create_user("heidi")
    client = member_of("Viewer")

    overview = client.get("/admin/").content.decode()
    listing = client.get("/admin/operators/auditentry/?object_type__exact=user")
    entry = AuditEntry.objects.get(object_id="heidi")

    assert "User viewer" in overview
    assert "User heidi" in listing.content.decode()
    assert "User heidi" in client.get(f"/admin/operators/auditentry/{entry.pk}/change/").content.decode()
