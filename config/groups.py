"""The staff groups and the rights that each one's name promises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.contrib.auth.models import Group, Permission

_VIEW: Final = frozenset(
    {
        "operators.view_operator",
        "operators.view_auditentry",
        "operators.view_legacyrun",
        "operators.view_legacyrow",
        "health.view_healthstatus",
        "health.view_healthtransition",
        "health.view_healthwindow",
        "routing.view_routingrule",
        "routing.view_ratesheet",
        "routing.view_destinationprefix",
    }
)
_OPERATORS: Final = frozenset(
    {
        "operators.add_operator",
        "operators.change_operator",
        "operators.delete_operator",
        "operators.change_operator_status",
        "operators.restore_operator",
        "health.set_maintenance",
        "health.override_health",
    }
)
_RATES: Final = frozenset(
    {
        "routing.add_routingrule",
        "routing.change_routingrule",
        "routing.delete_routingrule",
        "routing.import_ratesheet",
        "routing.undo_ratesheet",
        "routing.add_destinationprefix",
        "routing.change_destinationprefix",
        "routing.delete_destinationprefix",
    }
)
_SECRETS: Final = frozenset(
    {
        "operators.rotate_credential",
        "operators.revert_credential",
        "operators.view_credentialread",
        "axes.view_accessattempt",
    }
)
_STAFF: Final = frozenset(
    {
        "operators.view_outboxevent",
        "operators.change_outboxevent",
        "auth.view_user",
        "auth.add_user",
        "auth.change_user",
        "auth.view_group",
        "axes.delete_accessattempt",
    }
)

GROUPS: Final[dict[str, frozenset[str]]] = {
    "Viewer": _VIEW,
    "Operator manager": _VIEW | _OPERATORS,
    "Rate manager": _VIEW | _RATES,
    "Security officer": _VIEW | _SECRETS,
    "Administrator": _VIEW | _OPERATORS | _RATES | _SECRETS | _STAFF,
}


def ensure_groups(names: Iterable[str] = tuple(GROUPS)) -> list[str]:
    """Create those of our groups that are missing and give each exactly its rights; return the names that are new.

    Groups that somebody else made are left alone.
    """
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    created = []
    for name in names:
        group, is_new = Group.objects.get_or_create(name=name)
        group.permissions.set([known[right] for right in GROUPS[name]])
        if is_new:
            created.append(name)
    return created
