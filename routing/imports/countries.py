"""The guard of routing.guards.country_problems for a whole sheet: an MCC of another country than its prefix."""

from __future__ import annotations

from typing import Any, Final

from routing.imports.staging import STAGE
from routing.models import DestinationPrefix
from routing.networks import countries_of_mcc

_DESTINATIONS: Final = DestinationPrefix._meta.db_table

# Per prefix: the country of the longest range around it, and of every range inside it. The ranges are read by their
# unique index: those around by name, those inside between the prefix and the character behind 9.
_REJECT: Final = f"""
    WITH claimed AS (SELECT * FROM unnest(%(mccs)s::text[], %(countries)s::text[]) AS claimed (mcc, country)),
    pairs AS (
        SELECT DISTINCT prefix, mcc FROM {STAGE}
        WHERE field = '' AND mcc IN (SELECT mcc FROM claimed)
    ),
    found AS (
        SELECT pairs.prefix, pairs.mcc, around.country
        FROM pairs CROSS JOIN LATERAL (
            SELECT country FROM {_DESTINATIONS}
            WHERE country <> '' AND prefix = ANY (
                ARRAY(SELECT left(pairs.prefix, length) FROM generate_series(2, length(pairs.prefix)) AS length)
            )
            ORDER BY length(prefix) DESC LIMIT 1
        ) AS around
        UNION
        SELECT pairs.prefix, pairs.mcc, inside.country
        FROM pairs JOIN {_DESTINATIONS} AS inside
            ON inside.prefix > pairs.prefix AND inside.prefix < pairs.prefix || ':' AND inside.country <> ''
    ),
    strangers AS (
        SELECT found.prefix, found.mcc, string_agg(found.country, ', ' ORDER BY found.country) AS countries
        FROM found GROUP BY found.prefix, found.mcc
        HAVING NOT bool_or((found.mcc, found.country) IN (SELECT mcc, country FROM claimed))
    )
    UPDATE {STAGE} AS stage
    SET field = 'mcc', value = stage.mcc, reason = format(
        'MCC %%s belongs to %%s, but %%s leads to %%s.', stage.mcc,
        (SELECT string_agg(country, ', ' ORDER BY country) FROM claimed WHERE claimed.mcc = stage.mcc),
        stage.prefix, strangers.countries)
    FROM strangers
    WHERE stage.field = '' AND stage.prefix = strangers.prefix AND stage.mcc = strangers.mcc
"""  # noqa: S608 - the tables' names are ours


def reject_strangers(cursor: Any) -> None:
    """Reject the staged lines whose MCC contradicts their prefix; nothing where either one's country is unknown."""
    cursor.execute(f"SELECT DISTINCT mcc FROM {STAGE} WHERE field = '' AND mcc <> ''")  # noqa: S608
    claims = [(mcc, country) for (mcc,) in cursor.fetchall() for country in countries_of_mcc(mcc)]
    if claims:
        cursor.execute(_REJECT, {"mccs": [mcc for mcc, _ in claims], "countries": [country for _, country in claims]})
