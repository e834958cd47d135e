"""The issuer's public keys (JWKS): from its address, or from a file that is mounted here."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.request
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings
from jwt import PyJWK
from jwt.exceptions import PyJWTError
from rest_framework.exceptions import APIException

FETCH_TIMEOUT: Final = 2.0  # seconds
LARGEST: Final = 262_144  # bytes; a set of a hundred RSA keys has a fifth of it
FRESH: Final = 300.0  # seconds for which nobody asks for known keys again
COOLDOWN: Final = 30.0  # seconds between two questions because of unknown keys, however many tokens name them
RETRY_PAUSE: Final = 5.0  # seconds after a failed fetch in which nobody asks again
STALE_LIMIT: Final = 3600.0  # seconds for which keys outlive the issuer's last answer
NEVER: Final = float("-inf")

Keys = Mapping[str, PyJWK]


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


class RemoteKeySet:
    """Fetch keys and remember them; one thread at a time asks the issuer, however many tokens come in.

    While it asks, tokens of known keys are judged by what is remembered. An issuer that is away costs one short wait
    per pause, not one per call.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._keys: Keys = {}
        self._good_at = self._asked_at = NEVER

    def get(self, kid: str) -> PyJWK:
        now = time.monotonic()
        if now - self._good_at >= FRESH:
            self._refresh(RETRY_PAUSE, may_wait=now - self._good_at >= STALE_LIMIT)
        if kid not in self._keys:
            self._refresh(COOLDOWN if self._good_at >= self._asked_at else RETRY_PAUSE, may_wait=True)
        if time.monotonic() - self._good_at >= STALE_LIMIT:
            raise KeySetUnavailable
        if kid not in self._keys:
            raise UnknownKey
        return self._keys[kid]

    def _refresh(self, pause: float, *, may_wait: bool) -> None:
        """Ask the issuer unless somebody did so within the pause."""
        if not self._lock.acquire(blocking=may_wait, timeout=FETCH_TIMEOUT if may_wait else -1):
            return
        try:
            now = time.monotonic()
            if now - self._asked_at < pause:
                return
            self._asked_at = now  # before the attempt: whatever becomes of it, the next one waits
            try:
                self._keys = usable_keys(json.loads(fetch(self.url)))
            except (OSError, http.client.HTTPException, ValueError, RecursionError):
                return
            self._good_at = self._asked_at
        finally:
            self._lock.release()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Let the redirect be the error that it is: keys come from the configured address alone."""


def fetch(url: str) -> bytes:
    """Read a key set; raises OSError or HTTPException, also when it is too long or takes too long."""
    if not url.startswith(("https://", "http://")):
        raise OSError("Key sets come by HTTP.")
    give_up_at, body = time.monotonic() + FETCH_TIMEOUT, b""
    with urllib.request.build_opener(NoRedirect).open(url, timeout=FETCH_TIMEOUT) as answer:
        # One piece at a time: the timeout is that of a piece.
        while piece := answer.read1(LARGEST):
            body += piece
            if len(body) > LARGEST or time.monotonic() > give_up_at:
                raise OSError("The key set is too long, or takes too long.")
        if answer.length:
            raise http.client.IncompleteRead(body, answer.length)
    return body


class FileKeySet:
    """Read keys from a file, again whenever the file changes; a broken new file leaves the old keys in force."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: Keys | None = None

    def get(self, kid: str) -> PyJWK:
        keys = self._current()
        if kid not in keys:
            raise UnknownKey
        return keys[kid]

    def _current(self) -> Keys:
        with self._lock:
            try:
                stat = self.path.stat()
                seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
                if seen != self._seen:
                    self._keys = usable_keys(json.loads(self.path.read_bytes()))
                    self._seen = seen
            except (OSError, ValueError, RecursionError):
                pass
            if self._keys is None:
                raise KeySetUnavailable
            return self._keys


def usable_keys(published: Any) -> Keys:
    """Pick by `kid` the keys that may have signed a token; raises ValueError when there are none.

    RS256 with 2048 bits or more and ES256 on its curve, for signatures and public: whatever else is published is for
    others, and one odd key does not shut the rest out.
    """
    entries = published.get("keys") if isinstance(published, dict) else None
    found: dict[str, PyJWK] = {}
    for entry in entries if isinstance(entries, list) else ():
        try:
            key = PyJWK(entry)
            kid = key.key_id
            if isinstance(kid, str) and kid and _may_verify(key, entry):
                found.setdefault(kid, key)
        except (PyJWTError, ValueError, TypeError, AttributeError, KeyError):
            continue
    if not found:
        raise ValueError("The key set has no usable key.")
    return found


def _may_verify(key: PyJWK, entry: Mapping[str, Any]) -> bool:
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        return False
    match key.algorithm_name, key.key:
        case "RS256", RSAPublicKey(key_size=bits):
            return bool(2048 <= bits <= 8192)
        case "ES256", EllipticCurvePublicKey(curve=SECP256R1()):
            return True
    return False


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
