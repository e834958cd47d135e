from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import pytest

from operators.actors import Actor
from operators.errors import InvalidPayload, PreconditionFailed
from operators.models import AuditEntry, OutboxEvent
from routing import destinations, prefixes
from routing.destinations import country_name
from routing.errors import DestinationNotFound, DuplicatePrefix
from routing.models import DestinationPrefix
from routing.models.destination import Origin
from tests.routing.cast import make_destination

pytestmark = pytest.mark.django_db


def test_it_adds_a_range_of_the_staffs_own(actor: Actor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "routing.destinations"):
        row = destinations.create_destination(
            actor=actor,
            values={"prefix": "+44790", "country": "GB", "network": " Comium ", "mcc": "234", "mnc": "10"},
        )

    row.refresh_from_db()
    assert (row.prefix, row.country, row.network, row.mcc, row.mnc) == ("+44790", "GB", "Comium", "234", "10")
    assert (row.origin, row.version, row.updated_by) == (Origin.STAFF, 1, actor.name)
    [line] = caplog.records
    assert line.getMessage() == "create destination done"
    assert (line.__dict__["prefixId"], line.__dict__["adminId"]) == (str(row.pk), actor.name)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_type, entry.object_id) == ("create", "destination_prefix", "+44790")
    assert (entry.operator, entry.version, entry.actor, entry.source) == (None, 1, actor.name, "console")
    assert entry.changes["network"] == ["", "Comium"]
    assert not OutboxEvent.objects.exists()


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"prefix": ""}, {"prefix"}),
        ({"prefix": "0044"}, {"prefix"}),
        ({"prefix": "+1234567890123456"}, {"prefix"}),
        ({"prefix": "+44a"}, {"prefix"}),
        ({"country": "gb"}, {"country"}),
        ({"country": "UK"}, {"country"}),
        ({"country": "GBR"}, {"country"}),
        ({"country": "ZZ"}, {"country"}),
        ({"mcc": "23"}, {"mcc"}),
        ({"mnc": "10"}, {"mnc"}),
        ({"mcc": "234", "mnc": "1"}, {"mnc"}),
        ({"mcc": "262"}, {"mcc"}),
        ({"network": "n" * 201}, {"network"}),
        ({"network": "two\nlines"}, {"network"}),
        ({"prefix": "44", "country": "XX", "mcc": "1", "mnc": "x"}, {"prefix", "country", "mcc", "mnc"}),
    ],
)
def test_it_names_every_field_that_breaks_a_rule(actor: Actor, values: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(InvalidPayload) as refused:
        destinations.create_destination(
            actor=actor,
            values={"prefix": "+44790", "country": "GB", **values},  # type: ignore[typeddict-item]
        )

    assert {problem.field for problem in refused.value.problems} == fields
    assert not DestinationPrefix.objects.exists()


@pytest.mark.parametrize(
    ("country", "mcc"), [("XK", "221"), ("JE", "234"), ("CC", "505"), ("", "901"), ("GB", "999"), ("", "")]
)
def test_it_takes_what_is_not_known_to_be_wrong(actor: Actor, country: str, mcc: str) -> None:
    row = destinations.create_destination(actor=actor, values={"prefix": "+44790", "country": country, "mcc": mcc})

    assert (row.country, row.mcc) == (country, mcc)


def test_it_says_which_row_has_the_prefix(actor: Actor) -> None:
    existing = make_destination("+44", "GB")
    other = make_destination("+49", "DE")

    with pytest.raises(DuplicatePrefix, match=r"\+44 already") as refused:
        destinations.create_destination(actor=actor, values={"prefix": "+44"})
    assert refused.value.members == {"prefixId": str(existing.pk)}
    with pytest.raises(DuplicatePrefix):
        destinations.update_destination(actor=actor, prefix_id=other.pk, changes={"prefix": "+44"})
    assert DestinationPrefix.objects.count() == 2


def test_a_change_makes_a_row_the_staffs(actor: Actor) -> None:
    row = make_destination("+44", "GB", origin=Origin.REFERENCE)

    changed = destinations.update_destination(
        actor=actor, prefix_id=row.pk, changes={"network": "Comium"}, expected_version=1
    )

    row.refresh_from_db()
    assert (row.network, row.version, row.origin, row.updated_by) == ("Comium", 2, Origin.STAFF, actor.name)
    assert changed.updated_at == row.updated_at
    prefixes.load_reference()
    row.refresh_from_db()
    assert (row.network, row.version) == ("Comium", 2)
    entry = AuditEntry.objects.get(action="update")
    assert (entry.object_id, entry.version, entry.changes) == ("+44", 2, {"network": ["", "Comium"]})


def test_it_writes_nothing_where_nothing_differs(actor: Actor) -> None:
    row = make_destination("+44", "GB", origin=Origin.REFERENCE, network="Comium")

    destinations.update_destination(actor=actor, prefix_id=row.pk, changes={"network": "Comium ", "country": "GB"})

    row.refresh_from_db()
    assert (row.version, row.origin) == (1, Origin.REFERENCE)
    assert not AuditEntry.objects.exists()


def test_it_changes_and_deletes_only_at_the_version_that_was_seen(actor: Actor) -> None:
    row = make_destination("+44", "GB")

    with pytest.raises(PreconditionFailed, match="at version 1, not 2: tests changed it"):
        destinations.update_destination(
            actor=actor, prefix_id=row.pk, changes={"country": "JE", "mcc": "234"}, expected_version=2
        )
    with pytest.raises(PreconditionFailed):
        destinations.delete_destination(actor=actor, prefix_id=row.pk, expected_version=2)
    row.refresh_from_db()
    assert row.country == "GB"
    destinations.delete_destination(actor=actor, prefix_id=row.pk, expected_version=1)
    assert not DestinationPrefix.objects.exists()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id, entry.changes) == (
        "delete",
        "+44",
        {"prefix": ["+44", ""], "country": ["GB", ""]},
    )


def test_it_finds_no_row_that_is_not_there(actor: Actor) -> None:
    with pytest.raises(DestinationNotFound):
        destinations.find_destination(uuid4())
    with pytest.raises(DestinationNotFound):
        destinations.delete_destination(actor=actor, prefix_id=uuid4())
    with pytest.raises(DestinationNotFound):
        destinations.update_destination(actor=actor, prefix_id=uuid4(), changes={"country": "GB"})


def test_it_calls_countries_by_their_usual_names() -> None:
    assert [country_name(code) for code in ("GB", "XK", "VN", "??")] == ["United Kingdom", "Kosovo", "Vietnam", "??"]
