"""The only way to Vault (or OpenBao): a KV v2 client with deadlines, check-and-set and a login per process and role."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import hvac
import requests
from django.conf import settings
from hvac import exceptions
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from operators import metrics
from operators.errors import VaultUnavailable
from operators.secrets import Secret
from operators.tracing import span

T = TypeVar("T")


class Role(StrEnum):
    """The part of a process, and with it what Vault's policy lets it do (deploy/vault)."""

    ADMIN = "admin"
    INTERNAL = "internal"
    RECONCILER = "reconciler"
    BOOTSTRAP = "bootstrap"


class CasMismatch(Exception):
    """The secret is not at the version that the write was checked against; nothing was written."""


class SecretMissing(Exception):
    """There is no such secret, or the version asked for is deleted, destroyed or was never written."""


class OutcomeUnknown(VaultUnavailable):
    """The request was sent and its answer lost: it may have been done."""


@dataclass(frozen=True)
class VersionState:
    created_at: datetime
    deleted_at: datetime | None
    is_destroyed: bool

    @property
    def is_deleted(self) -> bool:
        """Tell whether it is soft-deleted, so that it can be undeleted while it is not destroyed."""
        return self.deleted_at is not None


@dataclass(frozen=True)
class SecretMetadata:
    """What may be known of a secret without its value; labels are KV v2's custom_metadata."""

    current_version: int
    created_at: datetime
    versions: Mapping[int, VersionState]
    labels: Mapping[str, str]


class VaultClient:
    """Read and write one KV v2 engine with one role's login; safe for threads."""

    def __init__(self, *, url: str, mount: str, token: str, connect_timeout: float, read_timeout: float) -> None:
        self._mount = mount
        session = requests.Session()
        session.trust_env = False
        self._hvac = hvac.Client(url=url, token=token, timeout=(connect_timeout, read_timeout), session=session)

    def write(self, path: str, data: Mapping[str, Secret | str], *, cas: int) -> int:
        """Write a new version if the secret is at version `cas` (0: if it does not exist yet); return its number."""
        with span("ops.vault.writeCredentials", vault_path=path), metrics.vault_write_seconds.time():
            answer = self._call(
                lambda kv: kv.create_or_update_secret(
                    path,
                    {key: value.reveal() if isinstance(value, Secret) else value for key, value in data.items()},
                    cas=cas,
                    mount_point=self._mount,
                ),
                writes=True,
            )
        return int(answer["data"]["version"])

    def read(self, path: str, *, version: int) -> dict[str, Secret]:
        """Read one version; SecretMissing when it is not there any more."""
        with span("ops.vault.readCredentials", vault_path=path), metrics.vault_read_seconds.time():
            return self._call(
                lambda kv: {
                    key: Secret(value)
                    for key, value in kv.read_secret_version(
                        path, version=version, mount_point=self._mount, raise_on_deleted_version=True
                    )["data"]["data"].items()
                }
            )

    def describe(self, path: str) -> SecretMetadata | None:
        """Tell which versions there are; None when there is no such secret."""
        try:
            data = self._call(lambda kv: kv.read_secret_metadata(path, mount_point=self._mount))["data"]
        except SecretMissing:
            return None
        return SecretMetadata(
            current_version=data["current_version"],
            created_at=datetime.fromisoformat(data["created_time"]),
            versions={
                int(number): VersionState(
                    created_at=datetime.fromisoformat(state["created_time"]),
                    deleted_at=datetime.fromisoformat(state["deletion_time"]) if state["deletion_time"] else None,
                    is_destroyed=state["destroyed"],
                )
                for number, state in (data["versions"] or {}).items()
            },
            labels=data["custom_metadata"] or {},
        )

    def label(self, path: str, labels: Mapping[str, str]) -> None:
        """Replace all labels of a secret; a secret that does not exist begins to, with no version."""
        self._call(
            lambda kv: kv.update_metadata(path, custom_metadata=dict(labels), mount_point=self._mount), writes=True
        )

    def soft_delete(self, path: str, versions: list[int]) -> None:
        self._call(lambda kv: kv.delete_secret_versions(path, versions, mount_point=self._mount), writes=True)

    def undelete(self, path: str, versions: list[int]) -> None:
        self._call(lambda kv: kv.undelete_secret_versions(path, versions, mount_point=self._mount), writes=True)

    def destroy(self, path: str, versions: list[int]) -> None:
        """Remove the values of these versions for good."""
        self._call(lambda kv: kv.destroy_secret_versions(path, versions, mount_point=self._mount), writes=True)

    def purge(self, path: str) -> None:
        """Remove the secret with all its versions and metadata for good."""
        self._call(lambda kv: kv.delete_metadata_and_all_versions(path, mount_point=self._mount), writes=True)

    def list_keys(self, path: str) -> list[str]:
        """List what lies directly under a path; folders end with a slash."""
        try:
            answer = self._call(lambda kv: kv.list_secrets(path, mount_point=self._mount))
        except SecretMissing:
            return []
        return list(answer["data"]["keys"])

    def check(self) -> None:
        """Raise VaultUnavailable, with a reason that is safe to show, unless Vault works and knows our login."""
        self._call(lambda _: self._hvac.auth.token.lookup_self())

    def _call(self, call: Callable[[Any], T], *, writes: bool = False) -> T:
        failure: Exception
        try:
            return call(self._hvac.secrets.kv.v2)
        except exceptions.InvalidPath:
            failure = SecretMissing("Vault has no such secret or version.")
        except exceptions.InvalidRequest as error:
            if "check-and-set" in str(error):
                failure = CasMismatch("The secret was changed by somebody else.")
            else:
                failure = VaultUnavailable("The credential store refused the request; nothing was changed.")
        except (exceptions.VaultError, requests.RequestException) as error:
            if writes and not _surely_not_done(error):
                failure = OutcomeUnknown("The answer of the credential store was lost.")
            else:
                failure = VaultUnavailable()
        # Raised out here, without the library's exception as its context: that one's frames hold the value.
        raise failure


def _surely_not_done(error: Exception) -> bool:
    if isinstance(error, exceptions.VaultError):
        return isinstance(error, exceptions.Forbidden | exceptions.RateLimitExceeded) or "sealed" in str(error)
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


_clients: dict[tuple[str, ...], VaultClient] = {}
_lock = threading.Lock()


def vault(role: Role) -> VaultClient:
    """Return this process's client for a role; made anew in a forked child."""
    key = (role, settings.VAULT_ADDR, settings.VAULT_MOUNT, settings.VAULT_TOKENS[role])
    with _lock:
        if key not in _clients:
            _clients[key] = VaultClient(
                url=settings.VAULT_ADDR,
                mount=settings.VAULT_MOUNT,
                token=settings.VAULT_TOKENS[role],
                connect_timeout=settings.VAULT_CONNECT_TIMEOUT,
                read_timeout=settings.VAULT_READ_TIMEOUT,
            )
        return _clients[key]


def _forget_clients() -> None:
    """Leave the parent's connections and locks alone: a socket shared by two processes mixes up their answers."""
    global _lock
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_forget_clients)
