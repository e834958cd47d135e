"""The console's pages about staff: users and groups. Nobody raises themselves or others above their own rights."""

from __future__ import annotations

from typing import Any, Final

import structlog
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm, ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.groups import GROUPS
from config.lockouts import LoginForm
from config.sessions import end_sessions
from operators.admin.badges import NOTHING
from operators.admin.base import TypedAdmin

log = structlog.stdlib.get_logger("config.staff")

SHOWN: Final = ("own_rights", "last_login", "date_joined")
ACCESS: Final = ("is_active", "is_staff", "is_superuser", "groups")


class StaffAdmin(UserAdmin):  # type: ignore[type-arg]
    """Who may log in, and the groups that give them their rights; no user has rights but by a group.

    Accounts are not deleted but switched off: the audit trail names them.
    """

    filter_horizontal = ()
    list_display = ("username", "full_name", "member_of", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff", "groups")
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        access = [name for name in ACCESS if name != "is_superuser" or request.user.is_superuser]
        if obj.user_permissions.exists():
            access.append("own_rights")
        return (
            (None, {"fields": ("username", "password")}),
            ("Person", {"fields": (("first_name", "last_name"), "email")}),
            ("Access", {"fields": access}),
            ("Dates", {"fields": (("last_login", "date_joined"),)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Let nobody change their own access: not up, and not by mistake down."""
        return (*SHOWN, *ACCESS) if obj is not None and obj.pk == request.user.pk else SHOWN

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or is_within_reach(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> ModelMultipleChoiceField[Any] | None:
        if db_field.name == "groups":
            kwargs["queryset"] = grantable_groups(request.user).order_by("name")
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 - Django's name
        """Ask for the old password where the password is one's own: an open screen must not be enough."""
        if id == str(request.user.pk):
            return HttpResponseRedirect(reverse("admin:password_change"))
        return super().user_change_password(request, id, form_url)

    def save_related(self, request: HttpRequest, form: ModelForm[User], formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and set(ACCESS) & set(form.changed_data):
            ended = end_sessions(form.instance.pk)
            log.info(
                f"access of {form.instance} changed, {ended} sessions ended",
                action="change_access",
                adminId=request.user.get_username(),
            )

    @admin.display(description="name")
    def full_name(self, user: User) -> str | SafeString:
        return user.get_full_name() or NOTHING

    @admin.display(description="groups")
    def member_of(self, user: User) -> str | SafeString:
        names = ["Superuser"] if user.is_superuser else []
        return ", ".join([*names, *(group.name for group in user.groups.all())]) or NOTHING

    @admin.display(description="Rights beside the groups")
    def own_rights(self, user: User) -> SafeString:
        return in_words(user.user_permissions.all())


class StaffGroupAdmin(TypedAdmin[Group]):
    """Show what each group may do. Ours are what config.groups says; others are a superuser's."""

    actions = None
    list_display = ("name", "rights_count", "members_count")
    ordering = ("name",)
    search_fields = ("name",)
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        counts = {
            "rights_total": Count("permissions", distinct=True),
            "members_total": Count("user", filter=Q(user__is_active=True), distinct=True),
        }
        return super().get_queryset(request).annotate(**counts)

    def get_fields(self, request: HttpRequest, obj: Group | None = None) -> tuple[str, ...]:
        return ("name", "permissions") if self.has_change_permission(request, obj) else ("name", "rights", "members")

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> tuple[str, ...]:
        return ("rights", "members")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(request.user.is_superuser) and (obj is None or obj.name not in GROUPS)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return self.has_change_permission(request, obj)

    @admin.display(description="rights")
    def rights_count(self, group: Group) -> int:
        return int(getattr(group, "rights_total", 0))

    @admin.display(description="members who may log in")
    def members_count(self, group: Group) -> int:
        return int(getattr(group, "members_total", 0))

    @admin.display(description="rights")
    def rights(self, group: Group) -> SafeString:
        return in_words(group.permissions.all())

    @admin.display(description="members who may log in")
    def members(self, group: Group) -> str | SafeString:
        users = User.objects.filter(groups=group, is_active=True).order_by("username")
        return ", ".join(users.values_list("username", flat=True)) or NOTHING


def in_words(rights: QuerySet[Permission]) -> SafeString:
    names = rights.order_by("content_type__app_label", "content_type__model", "codename").values_list("name")
    return format_html('<ul class="rights">{}</ul>', format_html_join("", "<li>{}</li>", names)) if names else NOTHING


def grantable_groups(user: Any) -> QuerySet[Group]:
    """List the groups that give nothing which this person has not."""
    if user.is_superuser:
        return Group.objects.all()
    return Group.objects.exclude(permissions__in=Permission.objects.exclude(pk__in=_rights_of(user).values("pk")))


def is_within_reach(user: Any, other: User) -> bool:
    """Tell whether somebody may change another account, and so set its password: only one that may nothing more.

    The rights of accounts that are switched off count as well, for they can be switched on.
    """
    if user.is_superuser:
        return True
    return not other.is_superuser and not _rights_of(other).exclude(pk__in=_rights_of(user).values("pk")).exists()


def _rights_of(user: Any) -> QuerySet[Permission]:
    of_user, of_groups = Q(pk__in=user.user_permissions.values("pk")), Q(group__in=user.groups.values("pk"))
    return Permission.objects.filter(of_user | of_groups)


admin.site.login_form = LoginForm
admin.site.unregister(User)
admin.site.unregister(Group)
admin.site.register(User, StaffAdmin)
admin.site.register(Group, StaffGroupAdmin)
