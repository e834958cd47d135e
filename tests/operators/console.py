"""How the tests type into the console's forms."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from config.groups import ensure_groups
from operators.models import Operator

LIST = "/admin/operators/operator/"


def page(name: str, operator: Operator) -> str:
    return reverse(f"admin:operators_operator_{name}", args=[operator.pk])


def typed(operator: Operator | None = None, **changes: Any) -> dict[str, Any]:
    """Build what a browser sends when somebody opens the form, types `changes` and saves."""
    if operator is None:
        shown: dict[str, Any] = {
            "name": "Comium",
            "host": "smpp.comium.example",
            "port": "2775",
            "system_id": "comium_tx",
            "system_type": "",
            "bind_type": "TRANSCEIVER",
            "max_tps": "100",
            "burst_multiplier": "1.50",
            "enforcement_mode": "HARD_REJECT",
            "backup_operator": "",
            "contacts": "NOC, noc@comium.example\r\n\r\nAwa, +220 1234567",
            "tags": "premium, otp",
            "notes": "Calls only.",
            "password": "s3cr3t-8",
        }
    else:
        shown = {
            "name": operator.name,
            "host": operator.host,
            "port": operator.port,
            "system_id": operator.system_id,
            "system_type": operator.system_type,
            "bind_type": operator.bind_type,
            "max_tps": operator.max_tps,
            "burst_multiplier": operator.burst_multiplier,
            "enforcement_mode": operator.enforcement_mode,
            "backup_operator": operator.backup_operator_id or "",
            "contacts": "\r\n".join(operator.contacts),
            "tags": ", ".join(operator.tags),
            "notes": operator.notes,
            "password": "",
            "reason": "",
            "expected_version": operator.version,
        }
        if operator.use_tls:
            shown["use_tls"] = "on"
    return {name: value for name, value in (shown | changes).items() if value is not None}


def member_of(group: str) -> Client:
    """Log in somebody who has exactly the rights of one staff group."""
    ensure_groups([group])
    user = get_user_model().objects.create_user(group.lower().replace(" ", "-"), is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client
