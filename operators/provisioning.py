"""Give Vault what this service needs: the secrets engine, a policy and a login for each role. Safe to repeat."""

from __future__ import annotations

import time
from typing import Final

from django.conf import settings

from operators.errors import VaultUnavailable
from operators.vault import Role, VaultClient, vault

PROVISIONED_ROLES: Final = (Role.ADMIN, Role.INTERNAL, Role.RECONCILER)
SHARED_POLICY: Final = "ops-token"
POLICY_MOUNT: Final = 'path "secret/'

# Development tokens live this long without a use; each renewal starts the period anew.
DEVELOPMENT_PERIOD: Final = "768h"
# Tokens of a service account: short, and replaced once a day even while they are renewed.
KUBERNETES_TTL, KUBERNETES_MAX_TTL = "1h", "24h"
MOUNT_SECONDS: Final = 10


def provision_vault(*, issue_tokens: bool) -> dict[str, str]:
    """Provision with the bootstrap login; return the environment of new tokens, by variable, if any were asked for.

    A role whose token is still good keeps it. Raises VaultUnavailable, also when something else lives at the mount.
    """
    client = vault(Role.BOOTSTRAP)
    _ensure_engine(client)
    for name in (SHARED_POLICY, *map(policy_name, PROVISIONED_ROLES)):
        client.request("put", f"sys/policies/acl/{name}", {"policy": policy_text(name)})
    _ensure_kubernetes_roles(client)
    if not issue_tokens:
        return {}
    return {
        f"VAULT_{role.upper()}_TOKEN": _issue_token(client, role)
        for role in PROVISIONED_ROLES
        if not _is_good(client, role, settings.VAULT_TOKENS[role])
    }


def policy_name(role: Role) -> str:
    return f"ops-{role}"


def policies(role: Role) -> list[str]:
    return [policy_name(role), SHARED_POLICY]


def policy_text(name: str) -> str:
    """Read a policy, for the engine that the settings name."""
    text = (settings.BASE_DIR / "deploy" / "vault" / f"{name}.hcl").read_text()
    return str(text.replace(POLICY_MOUNT, f'path "{settings.VAULT_MOUNT}/'))


def _ensure_engine(client: VaultClient) -> None:
    """Mount KV v2; an engine that is there keeps its settings, which others may rely on (ours are set per secret)."""
    mount = settings.VAULT_MOUNT
    found = client.request("get", "sys/mounts")["data"].get(f"{mount}/")
    if found is None:
        client.request("post", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "2"}})
        _await_engine(client, mount)
    elif found["type"] != "kv" or (found["options"] or {}).get("version") != "2":
        raise VaultUnavailable(
            f"there is something else than a KV version 2 engine at “{mount}/”: "
            "set VAULT_MOUNT to another name, or upgrade that engine with `vault kv enable-versioning`."
        )


def _await_engine(client: VaultClient, mount: str) -> None:
    """Wait until a new engine answers: it refuses requests for a moment while it prepares its storage."""
    give_up_at = time.monotonic() + MOUNT_SECONDS
    while True:
        try:
            client.request("get", f"{mount}/config")
            return
        except VaultUnavailable:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)


def _ensure_kubernetes_roles(client: VaultClient) -> None:
    """Bind each role to the service account of the same name, where Kubernetes auth is enabled."""
    mount = settings.VAULT_KUBERNETES_MOUNT
    if f"{mount}/" not in client.request("get", "sys/auth")["data"]:
        return
    for role in PROVISIONED_ROLES:
        client.request(
            "post",
            f"auth/{mount}/role/{policy_name(role)}",
            {
                "bound_service_account_names": [policy_name(role)],
                "bound_service_account_namespaces": [settings.VAULT_KUBERNETES_NAMESPACE],
                "token_policies": policies(role),
                "token_no_default_policy": True,
                "token_ttl": KUBERNETES_TTL,
                "token_max_ttl": KUBERNETES_MAX_TTL,
            },
        )


def _is_good(client: VaultClient, role: Role, token: str) -> bool:
    """Tell whether a token is alive and carries its role's policies alone; a root token that stands in does not."""
    if not token:
        return False
    try:
        known = client.request("post", "auth/token/lookup", {"token": token})["data"]
    except VaultUnavailable:
        # Vault answers 403 for a token that it does not know; were it away, issuing one would say so.
        return False
    return set(known["policies"]) == set(policies(role))


def _issue_token(client: VaultClient, role: Role) -> str:
    answer = client.request(
        "post",
        "auth/token/create-orphan",
        {
            "policies": policies(role),
            "no_default_policy": True,
            "period": DEVELOPMENT_PERIOD,
            "display_name": policy_name(role),
        },
    )
    return str(answer["auth"]["client_token"])
