"""Destination prefixes as reference data: what the phonenumbers package knows of countries and carriers (E.164)."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import phonenumbers
from django.db import connection, transaction
from django.utils import timezone

from operators.actors import command_actor
from operators.audit import record_about
from operators.models import AuditAction, AuditObject
from routing.models import DestinationPrefix
from routing.models.destination import Origin
from routing.networks import mccs_of_country, networks_of_mcc
from routing.numbering import REGIONS, CountryCode

# Names the data behind a reference row, in its updated_by.
SOURCE: Final = f"phonenumbers {phonenumbers.__version__}"

LEGAL_FORMS: Final = re.compile(
    r"(?:ab|ad|ag|ao|as|asa|bhd|bv|cjsc|co|company|corp|corporation|dd|doo|gmbh|inc|incorporated|jsc|kft|kk"
    r"|limited|llc|llp|ltd|nv|oao|ojsc|ooo|oy|oyj|pao|pjsc|plc|private|pt|pte|pty|pvt|sa|sae|sal|saoc|saog|sarl"
    r"|sas|sdn|spa|srl|sro|tbk|zao|zrt)"
)

STAGE: Final = "CREATE TEMP TABLE prefix_stage (prefix text, country text, network text, mcc text, mnc text)"
COPY: Final = "COPY prefix_stage FROM STDIN"
UPDATE: Final = """
    UPDATE routing_destinationprefix row SET
        country = stage.country, network = stage.network, mcc = stage.mcc, mnc = stage.mnc,
        version = row.version + 1, updated_by = %(source)s, updated_at = now()
    FROM prefix_stage stage
    WHERE stage.prefix = row.prefix AND row.origin = 'REFERENCE'
      AND (row.country, row.network, row.mcc, row.mnc) IS DISTINCT FROM
          (stage.country, stage.network, stage.mcc, stage.mnc)
"""
DELETE: Final = """
    DELETE FROM routing_destinationprefix row
    WHERE row.origin = 'REFERENCE' AND NOT EXISTS (SELECT FROM prefix_stage stage WHERE stage.prefix = row.prefix)
"""
INSERT: Final = """
    INSERT INTO routing_destinationprefix
        (id, prefix, country, network, mcc, mnc, origin, version, updated_by, updated_at)
    SELECT gen_random_uuid(), prefix, country, network, mcc, mnc, 'REFERENCE', 1, %(source)s, now()
    FROM prefix_stage ORDER BY prefix COLLATE "C"
    ON CONFLICT (prefix) DO NOTHING
"""


class Destination(NamedTuple):
    prefix: str
    country: str
    network: str
    mcc: str
    mnc: str


@dataclass(frozen=True)
class Outcome:
    """What a load did, or would do; `kept` are prefixes of the metadata that staff have made their own."""

    known: int
    inserted: int
    updated: int
    deleted: int
    kept: int

    @property
    def is_nothing(self) -> bool:
        return not (self.inserted or self.updated or self.deleted)


def load_reference(*, dry_run: bool = False) -> Outcome:
    """Bring the reference rows up to date in one transaction; rows that staff made or changed stay as they are."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        # Two loads at once would wait for each other's rows in the middle.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('routing.load_reference', 0))")
        cursor.execute(STAGE)
        with cursor.copy(COPY) as copy:
            for row in reference():
                copy.write_row(row)
        known = cursor.rowcount
        cursor.execute("ANALYZE prefix_stage")
        # Statistics of the table may be from when it was empty; the planner would compare each row with each.
        cursor.execute("SET LOCAL enable_nestloop = off")
        counts = []
        for statement in (UPDATE, DELETE, INSERT):
            cursor.execute(statement, {"source": SOURCE})
            counts.append(cursor.rowcount)
        updated, deleted, inserted = counts
        cursor.execute(
            "SELECT count(*) FROM prefix_stage JOIN routing_destinationprefix USING (prefix) WHERE origin = 'STAFF'"
        )
        kept = cursor.fetchone()[0]
        cursor.execute("DROP TABLE prefix_stage")
        outcome = Outcome(known, inserted, updated, deleted, kept)
        if not outcome.is_nothing:
            _record(outcome)
        transaction.set_rollback(dry_run)
    return outcome


def _record(outcome: Outcome) -> None:
    record_about(
        AuditObject.DESTINATION,
        SOURCE,
        actor=command_actor("load"),
        action=AuditAction.LOAD,
        changes={name: (None, getattr(outcome, name)) for name in ("inserted", "updated", "deleted")},
        at=timezone.now(),
    )


def is_loaded() -> bool:
    """Tell whether this version of the metadata has been loaded, without comparing rows.

    A version in which no row differs looks as if it had not: it is compared again, and writes nothing.
    """
    return DestinationPrefix.objects.filter(origin=Origin.REFERENCE, updated_by=SOURCE).exists()


def reference() -> Iterator[Destination]:
    """List what the metadata know: country codes, the countries within shared ones, and the carriers' ranges."""
    # Half of the package's memory, which no other process needs.
    from phonenumbers.carrierdata import CARRIER_DATA

    codes = {str(code): CountryCode(code) for code in REGIONS}
    for code, plan in codes.items():
        for national, country in (("", plan.country), *plan.divisions()):
            if code + national not in CARRIER_DATA:
                yield Destination(f"+{code}{national}", country, "", only_mcc(country), "")
    for digits, names in CARRIER_DATA.items():
        code = next(digits[:length] for length in (1, 2, 3) if digits[:length] in codes)
        country = codes[code].country_within(digits.removeprefix(code))
        network = str(names.get("en") or next(iter(names.values()))).strip()
        mcc, mnc = find_network(country, network)
        yield Destination(f"+{digits}", country, network, mcc, mnc)


def only_mcc(country: str) -> str:
    """Name the country's MCC where it has one and no more."""
    found = mccs_of_country(country) if country else frozenset[str]()
    return next(iter(found)) if len(found) == 1 else ""


@cache
def find_network(country: str, name: str) -> tuple[str, str]:
    """Find MCC and MNC of a country's network by its name; each is empty unless it is certain."""
    found = _networks(country).get(plain_name(name), frozenset())
    mccs = {mcc for mcc, _ in found}
    if len(found) == 1:
        return next(iter(found))
    return (next(iter(mccs)) if len(mccs) == 1 else only_mcc(country)), ""


@cache
def _networks(country: str) -> dict[str, frozenset[tuple[str, str]]]:
    """Map each name by which a country's networks are known to those that have it."""
    by_name: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for mcc in mccs_of_country(country):
        for network in networks_of_mcc(mcc):
            for name in filter(None, (plain_name(network.brand), plain_name(network.operator))):
                by_name[name].add((network.mcc, network.mnc))
    return {name: frozenset(codes) for name, codes in by_name.items()}


@cache
def plain_name(name: str) -> str:
    """Reduce a network's name to what tells it from others: no case, accents, punctuation or legal form."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(char))
    words = re.findall(r"\w+", re.sub(r"[.'\u2019]", "", bare))
    return "".join([word for word in words if not LEGAL_FORMS.fullmatch(word)] or words)
