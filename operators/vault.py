"""The only way to Vault (or OpenBao): a KV v2 client with deadlines, check-and-set and a login per process and role."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import hvac
import requests
from django.conf import settings

from operators import metrics
from operators.answers import Refused, meaning, refuse
from operators.deadlines import deadline
from operators.errors import VaultUnavailable
from operators.kv import CasMismatch, OutcomeUnknown, Role, SecretMetadata, SecretMissing, VersionState
from operators.login import Grant, Login, LoginPaused
from operators.secrets import Secret
from operators.tracing import span
from operators.transport import Breaker, session

__all__ = [
    "CasMismatch",
    "OutcomeUnknown",
    "Role",
    "SecretMetadata",
    "SecretMissing",
    "VaultClient",
    "VersionState",
    "forget_clients",
    "vault",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Vault destroys what is older; a row that was restored from a backup may name a version from some rotations ago.
KEPT_VERSIONS: Final = 20

NO_LOGIN: Final = "This process has neither a token nor a service account for the {} role of the credential store."


class VaultClient:
    """Read and write one KV v2 engine with one role's login; safe for threads.

    No method takes longer than the two timeouts together. Reads are tried once more on a fresh connection when one
    breaks; writes never are. Raises VaultUnavailable, or for a write that may have been done OutcomeUnknown.
    """

    def __init__(
        self,
        role: Role,
        *,
        url: str,
        mount: str,
        token: str,
        connect_timeout: float = 1.0,
        read_timeout: float = 2.0,
        ca_file: str = "",
    ) -> None:
        self._mount = mount
        self._role = role
        self._seconds = connect_timeout + read_timeout
        self._breaker = Breaker(patience=self._seconds)
        self._hvac = hvac.Client(
            url=url,
            token="",  # never from the environment
            session=session(
                connect_timeout=connect_timeout, read_timeout=read_timeout, ca_file=ca_file, on_answer=refuse
            ),
        )
        if token:
            self._login = Login(enter=lambda: self._look_up(token), renew=self._renew, can_enter_again=False)
        else:
            self._login = Login(enter=self._enter_kubernetes, renew=self._renew, can_enter_again=True)

    def write(self, path: str, data: Mapping[str, Secret | str], *, cas: int) -> int:
        """Write a new version if the secret is at version `cas` (0: if it does not exist yet); return its number."""
        with span("ops.vault.writeCredentials", vault_path=f"{self._mount}/{path}"):
            return self._write(
                lambda kv: int(
                    kv.create_or_update_secret(
                        path,
                        {key: value.reveal() if isinstance(value, Secret) else value for key, value in data.items()},
                        cas=cas,
                        mount_point=self._mount,
                    )["data"]["version"]
                )
            )

    def read(self, path: str, *, version: int) -> dict[str, Secret]:
        """Read one version; SecretMissing when it is not there (any more). Every call is counted."""
        result = "vault_error"
        try:
            with span("ops.vault.readCredentials", vault_path=f"{self._mount}/{path}"):
                found = self._read(
                    lambda kv: {
                        key: Secret(value)
                        for key, value in kv.read_secret_version(
                            path, version=version, mount_point=self._mount, raise_on_deleted_version=True
                        )["data"]["data"].items()
                    }
                )
            result = "ok"
        except SecretMissing:
            result = "not_found"
            raise
        finally:
            metrics.credentials_read.labels(result).inc()
        return found

    def describe(self, path: str) -> SecretMetadata | None:
        """Tell which versions there are; None when there is no such secret."""
        try:
            return self._read(
                lambda kv: SecretMetadata.parse(kv.read_secret_metadata(path, mount_point=self._mount)["data"])
            )
        except SecretMissing:
            return None

    def label(self, path: str, labels: Mapping[str, str]) -> None:
        """Replace all labels of a secret; one that does not exist begins to, with no version.

        Sets the secret's own rules as well, so that they hold in an engine that is shared with others.
        """
        self._write(
            lambda kv: kv.update_metadata(
                path,
                custom_metadata=dict(labels),
                cas_required=True,
                max_versions=KEPT_VERSIONS,
                mount_point=self._mount,
            )
        )

    def soft_delete(self, path: str, versions: list[int]) -> None:
        self._write(lambda kv: kv.delete_secret_versions(path, versions, mount_point=self._mount))

    def undelete(self, path: str, versions: list[int]) -> None:
        self._write(lambda kv: kv.undelete_secret_versions(path, versions, mount_point=self._mount))

    def destroy(self, path: str, versions: list[int]) -> None:
        """Remove the values of these versions for good."""
        self._write(lambda kv: kv.destroy_secret_versions(path, versions, mount_point=self._mount))

    def purge(self, path: str) -> None:
        """Remove the secret with all its versions and labels for good."""
        self._write(lambda kv: kv.delete_metadata_and_all_versions(path, mount_point=self._mount))

    def list_keys(self, path: str) -> list[str]:
        """List what lies directly under a path; folders end with a slash."""
        try:
            return self._read(lambda kv: list(kv.list_secrets(path, mount_point=self._mount)["data"]["keys"]))
        except SecretMissing:
            return []

    def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, Any]:
        """Send any other request of Vault's API, for provisioning; SecretMissing for what is not there."""

        def send(_: Any) -> Mapping[str, Any]:
            answer = self._hvac.adapter.request(method, f"/v1/{path}", json=body)
            return answer if isinstance(answer, dict) else {}

        return self._call(send, writes=method not in {"get", "list"})

    def check(self) -> None:
        """Raise VaultUnavailable, with a reason that is safe to show, unless Vault works and knows our login."""
        self._call(lambda _: self._hvac.auth.token.lookup_self()["data"]["id"], writes=False)

    # --- Login ----------------------------------------------------------------------------------------------------
    def _look_up(self, token: str) -> Grant:
        self._hvac.token = token
        try:
            known = self._hvac.auth.token.lookup_self()["data"]
        except Refused as refused:
            if refused.status != 403:
                raise
            # Invalid, or not allowed to look itself up: the call that it is for will tell.
            return Grant(seconds=0, is_renewable=False)
        return Grant(seconds=known["ttl"], is_renewable=known.get("renewable", False))

    def _enter_kubernetes(self) -> Grant:
        try:
            jwt = Path(settings.VAULT_KUBERNETES_TOKEN_FILE).read_text().strip()
        except OSError:
            raise VaultUnavailable(NO_LOGIN.format(self._role)) from None
        granted = self._hvac.auth.kubernetes.login(
            role=f"ops-{self._role}", jwt=jwt, mount_point=settings.VAULT_KUBERNETES_MOUNT, use_token=True
        )["auth"]
        return Grant(seconds=granted["lease_duration"], is_renewable=granted["renewable"])

    def _renew(self) -> Grant:
        renewed = self._hvac.auth.token.renew_self()["auth"]
        return Grant(seconds=renewed["lease_duration"], is_renewable=renewed["renewable"])

    # --- One call -------------------------------------------------------------------------------------------------
    def _read(self, call: Callable[[Any], T]) -> T:
        with metrics.vault_read_seconds.time():
            return self._call(call, writes=False)

    def _write(self, call: Callable[[Any], T]) -> T:
        with metrics.vault_write_seconds.time():
            return self._call(call, writes=True)

    def _call(self, call: Callable[[Any], T], *, writes: bool) -> T:
        failure: Exception
        is_sent = False
        try:
            self._breaker.guard()
            with deadline(self._seconds):
                seen = self._login.ensure()
                is_sent = True
                found = self._ask(call, seen, writes=writes)
        except Exception as error:  # of whatever kind: its frames hold the value
            failure = self._failure(error, is_sent=is_sent, writes=writes)
        else:
            self._breaker.succeeded()
            return found
        # Raised out here, so that the library's exception is not even the context of ours.
        raise failure

    def _ask(self, call: Callable[[Any], T], seen: int, *, writes: bool) -> T:
        try:
            return self._ask_twice(call, seen, writes=writes)
        except Refused as refused:
            refused.is_denied = refused.status == 403 and self._is_known()
            raise

    def _ask_twice(self, call: Callable[[Any], T], seen: int, *, writes: bool) -> T:
        """Send it, and once more where that is safe and may help: after a new login, or on a fresh connection."""
        try:
            return call(self._hvac.secrets.kv.v2)
        except Refused as refused:
            # 412: a standby that has not heard of the last write yet.
            if not (refused.status == 412 or (refused.status == 403 and self._login.again(seen))):
                raise
        except requests.ConnectionError as error:
            if writes or isinstance(error, requests.Timeout):
                raise
        return call(self._hvac.secrets.kv.v2)

    def _is_known(self) -> bool:
        """Tell a policy that was taken away, which no new login mends, from a login that is no longer good."""
        try:
            self._hvac.auth.token.lookup_self()
        except (Refused, requests.RequestException):
            return False
        return True

    def _failure(self, error: Exception, *, is_sent: bool, writes: bool) -> Exception:
        """Say in our words what went wrong, and tell the breaker whether Vault is to blame."""
        if isinstance(error, LoginPaused):
            return meaning(error.reason, may_be_done=False)[0]
        failure, is_ill = meaning(error, may_be_done=writes and is_sent)
        if is_ill:
            self._breaker.failed(for_all=not is_sent)  # no call gets past a login that fails
            logger.warning("Vault failed: %s", failure, extra={"errorType": type(error).__name__, "role": self._role})
        elif isinstance(error, Refused):
            self._breaker.succeeded()  # it answered, and in order
            if is_sent and error.status in (401, 403):  # a refused login has been counted
                metrics.vault_auth.labels("denied" if error.is_denied else "error").inc()
            if error.is_denied:
                logger.error("Vault's policy forbids what this process does", extra={"role": self._role})
        return failure


_clients: dict[tuple[str | int, ...], VaultClient] = {}
_lock = threading.Lock()


def vault(role: Role) -> VaultClient:
    """Return this process's client for a role; made anew in a forked child."""
    key = (role, settings.VAULT_ADDR, settings.VAULT_MOUNT, hash(settings.VAULT_TOKENS[role]))
    with _lock:
        if key not in _clients:
            _clients[key] = VaultClient(
                role,
                url=settings.VAULT_ADDR,
                mount=settings.VAULT_MOUNT,
                token=settings.VAULT_TOKENS[role],
                connect_timeout=settings.VAULT_CONNECT_TIMEOUT,
                read_timeout=settings.VAULT_READ_TIMEOUT,
                ca_file=settings.VAULT_CACERT,
            )
        return _clients[key]


def forget_clients() -> None:
    """Begin anew, as a forked child must: two processes on one socket take each other's answers."""
    global _lock
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=forget_clients)
