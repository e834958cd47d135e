"""The issuer's public keys (JWKS): from its address, or from a file that is mounted here."""

from __future__ import annotations

import json
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from django.conf import settings
from jwt import PyJWK, PyJWKClient, PyJWKSet
from jwt.exceptions import PyJWKClientConnectionError, PyJWKClientError, PyJWKError, PyJWKSetError
from rest_framework.exceptions import APIException

FETCH_TIMEOUT: Final = 2.0  # seconds
RETRY_PAUSE: Final = 5.0  # seconds after a failed fetch in which nobody asks again
STALE_LIMIT: Final = 3600.0  # seconds for which keys outlive the issuer's last answer


class UnknownKey(Exception):
    """No published key has the token's `kid`."""


class KeySetUnavailable(APIException):
    """The keys cannot be had and none are remembered, so that no token can be judged."""

    status_code = 503
    default_code = "IDENTITY_UNAVAILABLE"
    default_detail = "The issuer's keys cannot be read now; try again in a moment."
    wait = 5


class KeySet(Protocol):
    def get(self, kid: str) -> PyJWK: ...


class RemoteKeySet(PyJWKClient):
    """Fetch keys with a cache of five minutes; an issuer that is away costs one short wait per pause, not per call."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=FETCH_TIMEOUT)
        self._last_good: dict[str, Any] = {}
        self._good_until = 0.0
        self._retry_at = 0.0

    def fetch_data(self) -> Any:
        if time.monotonic() >= self._retry_at:
            try:
                self._last_good = super().fetch_data()
            except (PyJWKClientError, PyJWKSetError, PyJWKError, ValueError):
                self._retry_at = time.monotonic() + RETRY_PAUSE
            else:
                self._good_until = time.monotonic() + STALE_LIMIT
                return self._last_good
        if time.monotonic() < self._good_until:
            return self._last_good
        raise PyJWKClientConnectionError("The key set cannot be fetched.")

    def get(self, kid: str) -> PyJWK:
        try:
            return self.get_signing_key(kid)
        except PyJWKClientConnectionError:
            raise KeySetUnavailable from None
        except (PyJWKClientError, PyJWKSetError):
            raise UnknownKey from None


class FileKeySet:
    """Read keys from a file, again whenever the file changes; a broken new file leaves the old keys in force."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, PyJWK] | None = None

    def get(self, kid: str) -> PyJWK:
        keys = self._current()
        if kid not in keys:
            raise UnknownKey
        return keys[kid]

    def _current(self) -> dict[str, PyJWK]:
        with self._lock:
            try:
                stat = self.path.stat()
                seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
                if seen != self._seen:
                    found = PyJWKSet.from_dict(json.loads(self.path.read_bytes()))
                    self._keys = {
                        key.key_id: key for key in found.keys if key.key_id and key.public_key_use in ("sig", None)
                    }
                    self._seen = seen
            except (OSError, ValueError, AttributeError, PyJWKSetError, PyJWKError):
                pass
            if self._keys is None:
                raise KeySetUnavailable
            return self._keys


def key_for(kid: object) -> PyJWK:
    """Return the published key with this id; raises UnknownKey or KeySetUnavailable."""
    if not isinstance(kid, str) or not kid:
        raise UnknownKey
    return _key_set(settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH).get(kid)


@lru_cache(maxsize=4)
def _key_set(url: str, path: str) -> KeySet:
    if url:
        return RemoteKeySet(url)
    if path:
        return FileKeySet(path)
    raise KeySetUnavailable("No key set is configured: set JWT_JWKS_URL or JWT_JWKS_PATH.")
