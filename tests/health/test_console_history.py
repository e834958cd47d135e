"""What the operator's history in the console says of maintenance and override."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from health import actions
from operators.models import HealthState
from tests.factories import ALICE, make_operator
from tests.operators.console import member_of, page

pytestmark = pytest.mark.django_db


def test_it_tells_of_decisions_in_words(staff_client: Client) -> None:
    operator = make_operator()
    end = timezone.now().astimezone(UTC).replace(microsecond=0) + timedelta(days=1)
    actions.start_maintenance(
        actor=ALICE, operator_id=operator.pk, until=end, reason="back before 2026-12-01T08:00:00.000000Z"
    )
    actions.override_health(
        actor=ALICE, operator_id=operator.pk, state=HealthState.DEGRADED, until=end, reason="<b>slow</b>"
    )
    actions.end_maintenance(actor=ALICE, operator_id=operator.pk, reason="done")
    actions.end_override(actor=ALICE, operator_id=operator.pk)

    html = staff_client.get(page("history", operator)).content.decode()

    for words in ("Start maintenance", "End maintenance", "Override health", "End override", "Health override"):
        assert words in html
    assert f"until {shown(end)}: back before 2026-12-01T08:00:00.000000Z" in html, "staff's own words stay"
    assert f"DEGRADED until {shown(end)}: &lt;b&gt;slow" in html


def shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


@pytest.mark.parametrize("group", ["Viewer", "Operator manager", "Rate manager", "Security officer", "Administrator"])
def test_it_gives_each_group_its_rights(group: str) -> None:
    client = member_of(group)
    user = client.get("/admin/").context["user"]
    assert user.has_perms(["health.view_healthstatus", "health.view_healthtransition", "health.view_healthwindow"])
    may_decide = group in {"Operator manager", "Administrator"}
    for right in ("health.set_maintenance", "health.override_health"):
        assert user.has_perm(right) is may_decide
