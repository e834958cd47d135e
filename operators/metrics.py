"""The metric families of the system of record; names and labels are part of the contract with the dashboards."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

VAULT_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

operator_create = Counter("ops_operator_create", "Creations of operators.", ["result"])
operator_update = Counter("ops_operator_update", "Changes, rotations and status moves.", ["result"])
operator_delete = Counter("ops_operator_delete", "Deletions of operators.", ["result"])
credentials_read = Counter("ops_credentials_read", "Reads of a password from Vault.", ["result"])
vault_read_seconds = Histogram("ops_vault_read_duration_seconds", "Reads from Vault.", buckets=VAULT_BUCKETS)
vault_write_seconds = Histogram("ops_vault_write_duration_seconds", "Writes to Vault.", buckets=VAULT_BUCKETS)
vault_auth = Counter(
    "ops_vault_auth", "Logins to Vault, renewals of its tokens, and calls that its policy denied.", ["result"]
)
nats_publish = Counter("ops_nats_publish", "Events offered to the broker.", ["event", "result"])
console_login = Counter("ops_console_login", "Log-ins to the console.", ["result"])
pg_errors = Counter("ops_pg_errors", "Failed work on PostgreSQL.", ["op"])
internal_refused = Counter("ops_internal_refused", "Callers that the internal API turned away.", ["reason"])
peers_overdue = Counter("ops_peers_overdue", "Requests and answers given up because peers are too slow.", ["part"])

# A family without a child is invisible until its first event; alerts need the zero.
for _result in ("ok", "duplicate", "invalid", "vault_error"):
    operator_create.labels(_result)
for _result in ("ok", "not_found", "conflict", "vault_error"):
    operator_update.labels(_result)
for _result in ("ok", "not_found", "conflict", "vault_error"):
    operator_delete.labels(_result)
for _result in ("ok", "not_found", "vault_error"):
    credentials_read.labels(_result)
vault_auth.labels("denied")
for _result in ("ok", "error"):
    vault_auth.labels(_result)
    for _event in ("created", "updated", "deleted", "health"):
        nats_publish.labels(_event, _result)
for _part in ("request", "answer"):
    peers_overdue.labels(_part)
for _result in ("ok", "failed", "locked"):
    console_login.labels(_result)
for _op in ("connect", "read", "write"):
    pg_errors.labels(_op)
for _reason in ("handshake", "certificate", "expired", "proxy", "header", "identity", "unknown", "service"):
    internal_refused.labels(_reason)
