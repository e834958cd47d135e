"""Each role's policy, tried on OpenBao: what it must allow, and above all what it must refuse."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from django.conf import settings
from pytest_django import Settings

from operators.errors import VaultUnavailable
from operators.provisioning import SHARED_POLICY, policy_name, policy_text, provision_vault
from operators.secrets import Secret
from operators.vault import Role, VaultClient, vault

PATH = "ops/operators/0b5c1e9e-6d0b-4c57-9a51-3f6d9d0a7e11/credentials"
ELSEWHERE = (
    "ops/operators/credentials",
    "ops/operators/0b5c1e9e-6d0b-4c57-9a51-3f6d9d0a7e12/other",
    "ops/operators/0b5c1e9e-6d0b-4c57-9a51-3f6d9d0a7e13/deeper/credentials",
    "ops/0b5c1e9e-6d0b-4c57-9a51-3f6d9d0a7e14/credentials",
    "ops/operators",
    "other/team",
)
Use = Callable[[VaultClient, str], object]

USES: dict[str, Use] = {
    "create": lambda client, path: client.write(path, {"password": Secret("x")}, cas=0),
    "update": lambda client, path: client.write(path, {"password": Secret("y")}, cas=1),
    "read": lambda client, path: client.read(path, version=1),
    "describe": lambda client, path: client.describe(path),
    "label": lambda client, path: client.label(path, {"operator_id": "1"}),
    "list": lambda client, path: client.list_keys(path.rsplit("/", 2)[0] + "/"),
    "soft_delete": lambda client, path: client.soft_delete(path, [1]),
    "undelete": lambda client, path: client.undelete(path, [1]),
    "destroy": lambda client, path: client.destroy(path, [1]),
    "purge": lambda client, path: client.purge(path),
    "delete_latest": lambda client, path: client.request("delete", f"{settings.VAULT_MOUNT}/data/{path}"),
    "read_subkeys": lambda client, path: client.request("get", f"{settings.VAULT_MOUNT}/subkeys/{path}"),
    "configure": lambda client, _: client.request("post", f"{settings.VAULT_MOUNT}/config", {"max_versions": 1}),
    "list_mounts": lambda client, _: client.request("get", "sys/mounts"),
    "write_policy": lambda client, _: client.request("put", "sys/policies/acl/ops-mine", {"policy": ""}),
    "make_token": lambda client, _: client.request("post", "auth/token/create", {"policies": ["root"]}),
}
ALLOWED = {
    Role.ADMIN: {"create", "update", "describe", "label", "soft_delete", "undelete"},
    Role.INTERNAL: {"read"},
    Role.RECONCILER: {"describe", "list", "soft_delete", "undelete", "destroy", "purge"},
}


@pytest.fixture(autouse=True)
def secret() -> None:
    """One secret at version 1, whatever the test before has done to it."""
    root = vault(Role.BOOTSTRAP)
    root.purge(PATH)
    root.write(PATH, {"password": Secret("x")}, cas=0)


@pytest.mark.parametrize("use", sorted(USES))
@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_it_grants_each_role_its_part_and_no_more(role: Role, use: str) -> None:
    if use == "create":
        vault(Role.BOOTSTRAP).purge(PATH)
    if use in ALLOWED[role]:
        USES[use](vault(role), PATH)
    else:
        with pytest.raises(VaultUnavailable, match="does not accept this service's login"):
            USES[use](vault(role), PATH)


CAPABILITIES = {
    Role.ADMIN: {
        "data": {"create", "update"},
        "metadata": {"create", "read", "update"},
        "delete": {"update"},
        "undelete": {"update"},
        "destroy": {"deny"},
    },
    Role.INTERNAL: {
        "data": {"read"},
        "metadata": {"deny"},
        "delete": {"deny"},
        "undelete": {"deny"},
        "destroy": {"deny"},
    },
    Role.RECONCILER: {
        "data": {"deny"},
        "metadata": {"read", "delete"},
        "delete": {"update"},
        "undelete": {"update"},
        "destroy": {"update"},
    },
}


@pytest.mark.parametrize("role", sorted(CAPABILITIES))
def test_it_has_exactly_these_capabilities_by_vaults_own_account(role: Role) -> None:
    paths = {f"{settings.VAULT_MOUNT}/{kind}/{PATH}": kind for kind in CAPABILITIES[role]}

    answer = vault(Role.BOOTSTRAP).request(
        "post", "sys/capabilities", {"token": settings.VAULT_TOKENS[role], "paths": list(paths)}
    )["data"]

    assert {kind: set(answer[path]) for path, kind in paths.items()} == CAPABILITIES[role]


@pytest.mark.parametrize("role", sorted(CAPABILITIES))
def test_its_token_carries_nothing_that_vault_gives_to_everybody(role: Role) -> None:
    token = {"token": settings.VAULT_TOKENS[role]}

    known = vault(Role.BOOTSTRAP).request("post", "auth/token/lookup", token)["data"]

    assert set(known["policies"]) == {policy_name(role), SHARED_POLICY}


@pytest.mark.parametrize("path", ELSEWHERE)
@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_it_grants_nothing_outside_the_operators_credentials(role: Role, path: str) -> None:
    for name in ("create", "read", "describe", "label", "soft_delete", "undelete", "destroy", "purge"):
        with pytest.raises(VaultUnavailable, match="does not accept this service's login"):
            USES[name](vault(role), path)


# As the server is asked, without the client: kinds of the engine, odd spellings, other engines, Vault's own paths.
ID = PATH.split("/")[2]
STRANGE = (
    "secret/data/ops/operators/../operators/{id}/other",
    "secret/data/ops/operators/{id}/../../teams/credentials",
    "secret/data/ops/operators/{id}/credentials/../other",
    "secret/data/ops/operators/%2e%2e/{id}/credentials",
    "secret/data/ops/operators/{id}%2Fdeeper/credentials/x",
    "secret/data/ops/operators/{id}/credentials/",
    "secret/data/ops/operators/{id}/credentials2",
    "secret/data/ops/operators/{id}/Credentials",
    "secret/data/ops/operators//credentials",
    "secret/data/ops/operators",
    "secret/data/ops",
    "secret/data/other/team",
    "secret/subkeys/ops/operators/{id}/credentials",
    "secret/config",
    "secret/",
    "kv/data/ops/operators/{id}/credentials",
    "cubbyhole/mine",
    "cubbyhole/../secret/data/other/team",
    "identity/entity/id",
    "auth/token/accessors",
    "auth/token/create",
    "auth/token/create-orphan",
    "auth/token/roles/ops",
    "auth/kubernetes/config",
    "sys/auth",
    "sys/audit",
    "sys/mounts",
    "sys/mounts/kv2",
    "sys/policies/acl",
    "sys/policies/acl/ops-admin",
    "sys/policy/root",
    "sys/raw/core",
    "sys/seal",
    "sys/step-down",
    "sys/rotate",
    "sys/leases/lookup/x",
    "sys/quotas/rate-limit/x",
    "sys/storage/raft/snapshot",
    "sys/storage/raft/configuration",
    "sys/config/auditing/request-headers/x",
    "sys/generate-root/attempt2",
)


@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_it_refuses_every_strange_path_by_every_method(role: Role) -> None:
    token, tried, read = {"X-Vault-Token": settings.VAULT_TOKENS[role]}, 0, []
    with requests.Session() as plain:
        for path in STRANGE:
            for method in ("GET", "LIST", "POST", "PUT", "PATCH", "DELETE", "SCAN"):
                url = f"{settings.VAULT_ADDR}/v1/{path.format(id=ID)}"
                kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
                headers = {**token, "Content-Type": kind}
                request = plain.prepare_request(requests.Request(method, url, headers=headers, json={"data": {}}))
                request.url = url  # as it is written: the library would tidy it up
                answer = plain.send(request, timeout=5, allow_redirects=False)
                tried += 1
                # Refused outright, or no such method or address at all, or sent to the tidy spelling.
                if answer.status_code not in (301, 307, 400, 403, 404, 405):
                    read.append((method, path, answer.status_code))
                assert '"password"' not in answer.text
    assert read == []
    assert tried == 7 * len(STRANGE)


def test_it_lets_the_reconciler_list_the_operators_and_nothing_above_or_below() -> None:
    reconciler = vault(Role.RECONCILER)
    assert f"{PATH.split('/')[2]}/" in reconciler.list_keys("ops/operators/")
    for folder in ("", "ops/", PATH.removesuffix("credentials")):
        with pytest.raises(VaultUnavailable, match="does not accept this service's login"):
            reconciler.list_keys(folder)


def test_it_may_be_repeated_and_keeps_tokens_that_are_good() -> None:
    assert provision_vault(issue_tokens=True) == {}


def test_it_gives_a_new_token_for_a_revoked_one(settings: Settings) -> None:
    [old] = provision_with(settings, internal="gone").values()
    again = VaultClient(Role.INTERNAL, url=settings.VAULT_ADDR, mount=settings.VAULT_MOUNT, token=old)
    assert again.read(PATH, version=1)["password"].reveal() == "x"
    vault(Role.BOOTSTRAP).request("post", "auth/token/revoke", {"token": old})
    with pytest.raises(VaultUnavailable, match="login"):
        again.read(PATH, version=1)

    [new] = provision_with(settings, internal=old).values()

    fresh = VaultClient(Role.INTERNAL, url=settings.VAULT_ADDR, mount=settings.VAULT_MOUNT, token=new)
    assert fresh.read(PATH, version=1)["password"].reveal() == "x"


def test_it_does_not_let_a_root_token_stand_in_for_a_role(settings: Settings) -> None:
    issued = provision_with(settings, admin=settings.VAULT_TOKENS["bootstrap"])

    assert list(issued) == ["VAULT_ADMIN_TOKEN"]


def provision_with(settings: Settings, **tokens: str) -> dict[str, str]:
    settings.VAULT_TOKENS = {**settings.VAULT_TOKENS, **tokens}
    return provision_vault(issue_tokens=True)


def test_it_provisions_an_engine_under_another_name(settings: Settings) -> None:
    settings.VAULT_MOUNT = f"kv-{uuid.uuid4().hex[:8]}"
    try:
        provision_vault(issue_tokens=False)
        vault(Role.ADMIN).write(PATH, {"password": Secret("z")}, cas=0)
        assert vault(Role.INTERNAL).read(PATH, version=1)["password"].reveal() == "z"
        assert 'path "secret/' not in policy_text(policy_name(Role.ADMIN))
    finally:
        vault(Role.BOOTSTRAP).request("delete", f"sys/mounts/{settings.VAULT_MOUNT}")
        settings.VAULT_MOUNT = "secret"
        provision_vault(issue_tokens=False)


def test_it_refuses_an_engine_of_version_1(settings: Settings) -> None:
    settings.VAULT_MOUNT = f"kv-{uuid.uuid4().hex[:8]}"
    root = vault(Role.BOOTSTRAP)
    root.request("post", f"sys/mounts/{settings.VAULT_MOUNT}", {"type": "kv", "options": {"version": "1"}})
    try:
        with pytest.raises(VaultUnavailable, match="VAULT_MOUNT"):
            provision_vault(issue_tokens=False)
    finally:
        root.request("delete", f"sys/mounts/{settings.VAULT_MOUNT}")


def test_it_keeps_every_policy_within_the_operators_paths() -> None:
    for file in (Path(settings.BASE_DIR) / "deploy" / "vault").glob("*.hcl"):
        paths = [line.split('"')[1] for line in file.read_text().splitlines() if line.startswith("path")]
        assert paths
        if file.stem == SHARED_POLICY:
            assert set(paths) == {"auth/token/lookup-self", "auth/token/renew-self"}
            continue
        for path in paths:
            engine, kind, rest = path.split("/", 2)
            assert engine == "secret" and kind in {"data", "metadata", "delete", "undelete", "destroy"}
            assert rest == "ops/operators/" or rest == "ops/operators/+/credentials"
            assert "*" not in path
