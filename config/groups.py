"""The staff groups and the rights that each one's name promises."""

from __future__ import annotations

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
_MANAGE: Final = _VIEW | {
    "operators.add_operator",
    "operators.change_operator",
    "operators.delete_operator",
    "operators.change_operator_status",
    "operators.restore_operator",
    "health.set_maintenance",
    "health.override_health",
    "routing.add_routingrule",
    "routing.change_routingrule",
    "routing.delete_routingrule",
    "routing.add_ratesheet",
    "routing.change_ratesheet",
    "routing.add_destinationprefix",
    "routing.change_destinationprefix",
    "routing.delete_destinationprefix",
}

GROUPS: Final[dict[str, frozenset[str]]] = {
    "Viewer": _VIEW,
    "Operator manager": _MANAGE,
    "Security officer": _VIEW | {"operators.rotate_credential", "operators.view_credentialread"},
    "Administrator": _MANAGE
    | {
        "operators.rotate_credential",
        "operators.view_credentialread",
        "operators.view_outboxevent",
        "operators.change_outboxevent",
        "auth.view_user",
        "auth.add_user",
        "auth.change_user",
        "auth.view_group",
    },
}


def ensure_groups() -> list[str]:
    """Create the groups that are missing and give every one exactly its rights; return the names that are new."""
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    created = []
    for name, rights in GROUPS.items():
        group, is_new = Group.objects.get_or_create(name=name)
        group.permissions.set([known[right] for right in rights])
        if is_new:
            created.append(name)
    return created
