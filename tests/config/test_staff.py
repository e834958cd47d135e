"""Nobody raises themselves or others above their own rights."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from pytest_django import Settings

from config.groups import GROUPS, ensure_groups
from tests.operators.console import member_of

pytestmark = pytest.mark.django_db

USERS, GROUP_PAGES = "/admin/auth/user/", "/admin/auth/group/"
PASSWORDS = {"usable_password": "true", "password1": "a-new-one-for-all", "password2": "a-new-one-for-all"}


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> None:
    """Hundreds of log-ins would take minutes with the hasher that staff have."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def admin() -> Client:
    ensure_groups()
    return member_of("Administrator")


def me() -> User:
    return User.objects.get(username="administrator")


def make(name: str, **fields: Any) -> User:
    return get_user_model().objects.create_user(name, password="long-enough-for-all", is_staff=True, **fields)


def form(user: User, *groups: Group, **changes: Any) -> dict[str, Any]:
    return {
        "username": user.username,
        "is_active": "on",
        "is_staff": "on",
        "groups": [group.pk for group in groups],
        **changes,
    }


def right(name: str) -> Permission:
    app, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app, codename=codename)


def page(user: User, name: str = "change") -> str:
    return f"{USERS}{user.pk}/{name}/"


def test_an_administrator_makes_accounts_and_gives_them_groups(admin: Client) -> None:
    added = admin.post(f"{USERS}add/", {"username": "dora", **PASSWORDS})
    dora = User.objects.get(username="dora")
    assert added["Location"] == page(dora)
    assert (dora.is_staff, dora.is_superuser) == (False, False)

    answer = admin.post(page(dora), form(dora, Group.objects.get(name="Rate manager")))

    assert answer.status_code == 302
    dora.refresh_from_db()
    assert (dora.is_staff, [group.name for group in dora.groups.all()]) == (True, ["Rate manager"])
    assert LogEntry.objects.filter(object_id=str(dora.pk), user=me()).count() == 2


def test_no_form_makes_a_superuser_or_gives_single_rights(admin: Client) -> None:
    dora = make("dora")
    sneaked = {"is_superuser": "on", "user_permissions": [right("auth.delete_user").pk]}

    admin.post(f"{USERS}add/", {"username": "emil", **PASSWORDS, **sneaked, "is_staff": "on", "groups": ["1"]})
    assert admin.post(page(dora), form(dora, **sneaked)).status_code == 302
    assert admin.post(page(me()), form(me(), **sneaked)).status_code == 302

    for user in (dora, me(), User.objects.get(username="emil")):
        assert not user.is_superuser
        assert not user.user_permissions.exists()
    assert not User.objects.get(username="emil").is_staff
    html = admin.get(page(dora)).content.decode()
    assert "is_superuser" not in html and "user_permissions" not in html


def test_nobody_changes_their_own_access(admin: Client) -> None:
    answer = admin.post(page(me()), {"username": "administrator", "first_name": "Ada", "groups": []})

    assert answer.status_code == 302
    assert (me().first_name, me().is_active, me().is_staff) == ("Ada", True, True)
    assert [group.name for group in me().groups.all()] == ["Administrator"]


def test_a_group_with_more_rights_is_not_handed_out(admin: Client) -> None:
    dora = make("dora")
    above = Group.objects.create(name="Above")
    above.permissions.add(right("auth.delete_user"))
    beside = Group.objects.create(name="Beside")
    beside.permissions.add(right("operators.view_operator"))

    refused = admin.post(page(dora), form(dora, above))

    assert refused.status_code == 200 and "not one of the available choices" in refused.content.decode()
    assert not dora.groups.exists()
    assert admin.post(page(dora), form(dora, beside)).status_code == 302
    assert "Above" not in admin.get(page(dora)).content.decode().split('name="groups"')[1].split("</select>")[0]


STRONGER = {
    "a superuser": lambda: make("root", is_superuser=True),
    "a superuser that is switched off": lambda: make("root", is_superuser=True, is_active=False),
    "a right of its own": lambda: _with(make("root"), right("auth.delete_user")),
    "a group with more rights": lambda: _in_group(make("root"), right("auth.change_group")),
    "the same, switched off": lambda: _in_group(make("root", is_active=False), right("auth.change_group")),
}


def _with(user: User, permission: Permission) -> User:
    user.user_permissions.add(permission)
    return user


def _in_group(user: User, permission: Permission) -> User:
    group = Group.objects.create(name="Above")
    group.permissions.add(permission)
    user.groups.add(group)
    return user


@pytest.mark.parametrize("case", STRONGER)
def test_an_account_with_more_rights_is_out_of_reach(admin: Client, case: str) -> None:
    root = STRONGER[case]()
    before = (root.password, root.is_active, root.is_superuser, root.username)

    assert admin.post(page(root), form(root, username="mine")).status_code == 403
    assert admin.get(page(root, "password")).status_code == 403
    assert admin.post(page(root, "password"), PASSWORDS).status_code == 403
    assert admin.post(page(root, "delete"), {"post": "yes"}).status_code == 403

    root.refresh_from_db()
    assert (root.password, root.is_active, root.is_superuser, root.username) == before
    assert admin.get(page(root)).status_code == 200, "it may be seen"


def test_an_administrator_gives_others_a_new_password_and_themselves_only_with_the_old_one(admin: Client) -> None:
    dora = make("dora")

    assert admin.post(page(dora, "password"), PASSWORDS).status_code == 302
    own = admin.post(page(me(), "password"), PASSWORDS)

    dora.refresh_from_db()
    assert dora.check_password(PASSWORDS["password1"])
    assert own["Location"] == "/admin/password_change/"
    assert not me().check_password(PASSWORDS["password1"])


def test_no_account_is_deleted(staff_client: Client) -> None:
    dora = make("dora")

    assert staff_client.post(page(dora, "delete"), {"post": "yes"}).status_code == 403
    staff_client.post(USERS, {"action": "delete_selected", "_selected_action": [dora.pk], "post": "yes"})

    assert User.objects.filter(pk=dora.pk).exists()


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_nobody_edits_the_groups_that_are_ours(staff_client: Client, admin: Client, name: str) -> None:
    group = Group.objects.get(name=name)
    for client in (staff_client, admin):
        assert client.post(f"{GROUP_PAGES}{group.pk}/change/", {"name": "x", "permissions": []}).status_code == 403
        assert client.post(f"{GROUP_PAGES}{group.pk}/delete/", {"post": "yes"}).status_code == 403
        html = client.get(f"{GROUP_PAGES}{group.pk}/change/").content.decode()
        assert html.count("<li>Can ") == len(GROUPS[name])


def test_a_superuser_edits_other_groups_and_an_administrator_does_not(staff_client: Client, admin: Client) -> None:
    group = Group.objects.create(name="Night shift")
    url, typed = f"{GROUP_PAGES}{group.pk}/change/", {"name": "Day shift", "permissions": []}

    assert admin.post(url, typed).status_code == 403
    assert admin.post(f"{GROUP_PAGES}add/", {"name": "Mine"}).status_code == 403
    assert staff_client.post(url, typed).status_code == 302
    assert Group.objects.filter(name="Day shift").exists()


def test_rights_in_a_custom_group_do_not_open_the_group_pages(client: Client) -> None:
    dora = make("dora")
    for name in ("auth.change_group", "auth.add_group", "auth.delete_group", "auth.change_permission"):
        dora.user_permissions.add(right(name))
    group = Group.objects.create(name="Mine")
    dora.groups.add(group)
    client.force_login(dora)

    everything = [permission.pk for permission in Permission.objects.all()]
    answer = client.post(f"{GROUP_PAGES}{group.pk}/change/", {"name": "Mine", "permissions": everything})

    assert answer.status_code == 403
    assert not group.permissions.exists()


def test_the_groups_have_exactly_their_rights_again_after_bootstrap() -> None:
    ensure_groups()
    other = Group.objects.create(name="Night shift")
    other.permissions.add(right("operators.view_operator"))
    viewer = Group.objects.get(name="Viewer")
    viewer.permissions.add(right("operators.rotate_credential"))
    viewer.permissions.remove(right("operators.view_operator"))

    assert ensure_groups() == []

    held = {
        group.name: {f"{each.content_type.app_label}.{each.codename}" for each in group.permissions.all()}
        for group in Group.objects.all()
    }
    assert held == {
        **{name: set(rights) for name, rights in GROUPS.items()},
        "Night shift": {"operators.view_operator"},
    }
