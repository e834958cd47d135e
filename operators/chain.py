"""The hash chains of the audit trail: what is hashed, and the triggers by which PostgreSQL links and keeps the rows.

A row's hash is the SHA-256 of a JSON array in PostgreSQL's own notation: the chain's name, the hash of the row before
(64 zeros before the first), the row's number, then its columns. `content` writes the same bytes without the database,
so that a check believes no function that an intruder could have replaced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

GENESIS: Final = "0" * 64
_TEXT: Final = json.JSONEncoder(ensure_ascii=False).encode
_LINK: Final = ("sequence", "previous_hash", "hash")


@dataclass(frozen=True)
class Chain:
    """One table whose rows are linked; `columns` are hashed in this order, a new one at the end needs a new chain."""

    name: str
    table: str
    lock: int
    columns: tuple[str, ...]

    def hash_of(self, row: Mapping[str, object]) -> str:
        """Compute what the row's hash has to be; numbers in it are int or Decimal, moments texts as in `moment_sql`."""
        return hashlib.sha256(self.content(row).encode()).hexdigest()

    def content(self, row: Mapping[str, object]) -> str:
        return as_jsonb([self.name, row["previous_hash"], row["sequence"], *(row[column] for column in self.columns)])

    def hash_sql(self, row: str) -> str:
        """Write the hash of a row variable of PL/pgSQL, whose link is set, as SQL that no session's setting changes."""
        parts = [f"'{self.name}'", f"{row}.previous_hash", f"{row}.sequence"]
        parts += [moment_sql(f"{row}.at") if column == "at" else f"{row}.{column}" for column in self.columns]
        return f"encode(sha256(convert_to(jsonb_build_array({', '.join(parts)})::text, 'UTF8')), 'hex')"


AUDIT: Final = Chain(
    name="audit",
    table="operators_auditentry",
    lock=0x0B5_C4A1_1,
    columns=(
        *("id", "operator_id", "object_type", "object_id", "version", "action", "actor", "source", "reason"),
        *("changes", "trace_id", "at"),
    ),
)
READS: Final = Chain(
    name="reads",
    table="operators_credentialread",
    lock=0x0B5_C4A1_2,
    columns=("id", "operator_id", "credential_version", "caller", "identity", "result", "trace_id", "at"),
)
CHAINS: Final = {chain.name: chain for chain in (AUDIT, READS)}


def moment_sql(column: str) -> str:
    """Write a timestamptz as RFC 3339 in UTC to the microsecond, whatever time zone and DateStyle a session has."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def as_jsonb(value: object) -> str:
    """Write JSON as PostgreSQL writes jsonb: shorter keys first, a space after commas and colons, numbers as given."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _TEXT(value)
        case int():
            return str(value)
        case Decimal():
            return format(value, "f")
        case list():
            return f"[{', '.join(map(as_jsonb, value))}]"
        case dict():
            keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
            return f"{{{', '.join(f'{as_jsonb(key)}: {as_jsonb(value[key])}' for key in keys)}}}"
        case _:
            raise TypeError(f"{type(value).__name__} is not JSON.")


def _link_sql(chain: Chain, row: str) -> str:
    """Set the link of a row variable; the caller holds the chain's lock."""
    return f"""
    SELECT sequence, hash INTO {row}.sequence, {row}.previous_hash FROM {chain.table}
    WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1;
    {row}.sequence := coalesce({row}.sequence, 0) + 1;
    {row}.previous_hash := coalesce({row}.previous_hash, '{GENESIS}');
    {row}.hash := {chain.hash_sql(row)};"""  # noqa: S608 - names and values are ours


# An entry is linked when its transaction commits, for the lock of the chain lasts until the end: this way it is the
# last one taken, so it is short however long the transaction was, and whoever waits for it holds up nobody who has it.
_LINK_ENTRY: Final = f"""
BEGIN
    PERFORM pg_advisory_xact_lock({AUDIT.lock});{_link_sql(AUDIT, "NEW")}
    UPDATE {AUDIT.table} SET sequence = NEW.sequence, previous_hash = NEW.previous_hash, hash = NEW.hash
    WHERE id = NEW.id;
    RETURN NULL;
END
"""  # noqa: S608
# A read is a transaction of its own: linked at once, it needs no second version of the row.
_LINK_READ: Final = f"""
BEGIN
    PERFORM pg_advisory_xact_lock({READS.lock});{_link_sql(READS, "NEW")}
    RETURN NEW;
END
"""
# Only the link itself may be added to a row, by the transaction that made it: others see it linked.
_KEEP: Final = """
DECLARE
    link CONSTANT text[] := '{sequence,previous_hash,hash}';
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.sequence := NULL; NEW.previous_hash := ''; NEW.hash := '';
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.sequence IS NULL AND to_jsonb(NEW) - link = to_jsonb(OLD) - link THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'Rows are only added to %: % is refused.', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
"""
FUNCTIONS: Final = {"link_audit_entry": _LINK_ENTRY, "link_credential_read": _LINK_READ, "keep_audit": _KEEP}
# As pg_get_triggerdef tells them: the check compares these texts.
TRIGGERS: Final = {
    AUDIT.name: {
        "audit_keep": f"BEFORE INSERT OR DELETE OR UPDATE ON {AUDIT.table} FOR EACH ROW EXECUTE FUNCTION keep_audit()",
        "audit_keep_all": f"BEFORE TRUNCATE ON {AUDIT.table} FOR EACH STATEMENT EXECUTE FUNCTION keep_audit()",
        "audit_link": f"AFTER INSERT ON {AUDIT.table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        "EXECUTE FUNCTION link_audit_entry()",
    },
    READS.name: {
        "reads_keep": f"BEFORE DELETE OR UPDATE ON {READS.table} FOR EACH ROW EXECUTE FUNCTION keep_audit()",
        "reads_keep_all": f"BEFORE TRUNCATE ON {READS.table} FOR EACH STATEMENT EXECUTE FUNCTION keep_audit()",
        "reads_link": f"BEFORE INSERT ON {READS.table} FOR EACH ROW EXECUTE FUNCTION link_credential_read()",
    },
}


def trigger_sql(name: str, definition: str) -> str:
    kind = "CONSTRAINT TRIGGER" if "DEFERRABLE" in definition else "TRIGGER"
    return f"CREATE {kind} {name} {definition}"


def install_sql() -> str:
    """Link the rows that are there, in the order of their ids, then put functions and triggers in place."""
    chained = "".join(
        f"""
        LOCK TABLE {chain.table} IN SHARE ROW EXCLUSIVE MODE;
        DO $do$ DECLARE entry {chain.table}; number bigint := 0; head text := '{GENESIS}'; BEGIN
            FOR entry IN SELECT * FROM {chain.table} ORDER BY id LOOP
                number := number + 1;
                entry.sequence := number;
                entry.previous_hash := head;
                head := {chain.hash_sql("entry")};
                UPDATE {chain.table} SET sequence = number, previous_hash = entry.previous_hash, hash = head
                WHERE id = entry.id;
            END LOOP;
        END $do$;"""  # noqa: S608
        for chain in CHAINS.values()
    )
    functions = "".join(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body${body}$body$;\n"
        for name, body in FUNCTIONS.items()
    )
    triggers = "".join(
        f"{trigger_sql(name, definition)};\n"
        for definitions in TRIGGERS.values()
        for name, definition in definitions.items()
    )
    # A million rows take a minute and more, which is longer than a statement may.
    return f"SET LOCAL statement_timeout = 0;{chained}\n{functions}{triggers}"


def remove_sql() -> str:
    drops = [
        f"DROP TRIGGER {name} ON {CHAINS[chain].table};" for chain, triggers in TRIGGERS.items() for name in triggers
    ]
    return "\n".join([*drops, *(f"DROP FUNCTION {name}();" for name in FUNCTIONS)])
