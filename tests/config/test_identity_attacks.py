"""Tokens that were made to be mistaken for good ones, at the API's door, and what an issuer in trouble costs."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from django.db import connection
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from config import keysets
from config.identity import read_token
from tests.config.issuer import AUDIENCE, ISSUER, Ask, Issuer, KeySetServer, public_jwk
from tests.config.test_identity import b64, code, encode, pass_seconds, replace, sign

REFUSED: Final = (401, "UNAUTHENTICATED")


def rsa_key(issuer: Issuer) -> rsa.RSAPrivateKey:
    key = issuer.keys["rsa-1"]
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def ec_key(issuer: Issuer) -> ec.EllipticCurvePrivateKey:
    key = issuer.keys["ec-1"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def signed(head: dict[str, Any], body: str, signer: Callable[[bytes], bytes]) -> str:
    text = f"{encode(head)}.{body}"
    return f"{text}.{b64(signer(text.encode()))}"


def with_secret(secret: bytes, algorithm: str = "sha256") -> Callable[[bytes], bytes]:
    return lambda text: hmac.new(secret, text, getattr(hashlib, algorithm)).digest()


def shapes_of(key: Any) -> dict[str, bytes]:
    """Every form in which a public key might be taken for a shared secret."""
    public = key.public_key()
    encoding, kind = serialization.Encoding, serialization.PublicFormat.SubjectPublicKeyInfo
    jwk = public_jwk(key)
    pem = public.public_bytes(encoding.PEM, kind)
    return {
        "PEM": pem,
        "PEM without its end": pem.rstrip(b"\n"),
        "DER": public.public_bytes(encoding.DER, kind),
        "JWK": json.dumps(jwk).encode(),
        "compact JWK": json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode(),
        "its number": jwk.get("n", jwk.get("x", "")).encode(),
        "nothing": b"",
    }


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_it_takes_no_public_key_for_a_secret(
    issuer: Issuer, key_file: Path, ask: Ask, kid: str, algorithm: str
) -> None:
    head = {"alg": algorithm, "typ": "at+jwt", "kid": kid}
    for shape, secret in shapes_of(issuer.keys[kid]).items():
        token = signed(head, encode(issuer.claims()), with_secret(secret, f"sha{algorithm[2:]}"))
        assert code(ask(token)) == REFUSED, shape


def test_it_takes_no_signature_of_another_algorithm(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    """The key's own algorithm counts, not what the token says of itself, nor what the same key could also do."""
    body, sha256 = encode(issuer.claims()), hashes.SHA256()
    pss = padding.PSS(padding.MGF1(sha256), 32)
    by_rsa: dict[str, Callable[[bytes], bytes]] = {
        "PS256": lambda text: rsa_key(issuer).sign(text, pss, sha256),
        "RS384": lambda text: rsa_key(issuer).sign(text, padding.PKCS1v15(), hashes.SHA384()),
        "RS512": lambda text: rsa_key(issuer).sign(text, padding.PKCS1v15(), hashes.SHA512()),
        "ES256": lambda text: rsa_key(issuer).sign(text, padding.PKCS1v15(), sha256),
        "none": lambda text: b"",
        "None": lambda text: b"",
        "NONE": lambda text: b"",
        "nOnE": lambda text: b"",
        "": lambda text: b"",
        "rs256": lambda text: rsa_key(issuer).sign(text, padding.PKCS1v15(), sha256),
        "RS256 ": lambda text: rsa_key(issuer).sign(text, padding.PKCS1v15(), sha256),
    }
    for name, signer in by_rsa.items():
        assert code(ask(signed({"alg": name, "typ": "at+jwt", "kid": "rsa-1"}, body, signer))) == REFUSED, name

    by_ec = ec.ECDSA(sha256)
    other_curve = ec.generate_private_key(ec.SECP256K1())
    for name, key in (("RS256", ec_key(issuer)), ("ES256K", ec_key(issuer)), ("ES256K", other_curve)):
        token = signed(
            {"alg": name, "typ": "at+jwt", "kid": "ec-1"}, body, partial(key.sign, signature_algorithm=by_ec)
        )
        assert code(ask(token)) == REFUSED, name
    # The signature as OpenSSL writes it (DER) is none in a token, and a signature of nothing but zeros none at all.
    for signature in (ec_key(issuer).sign(b"x", ec.ECDSA(sha256)), bytes(64), bytes(32), b""):
        head = {"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"}
        assert code(ask(f"{encode(head)}.{body}.{b64(signature)}")) == REFUSED


CONFUSED: Final[dict[str, dict[str, Any]]] = {
    "an ID token": {"typ": "id+jwt"},
    "a logout token": {"typ": "logout+jwt"},
    "a DPoP proof": {"typ": "dpop+jwt"},
    "a security event": {"typ": "secevent+jwt"},
    "a client's assertion": {"typ": "client-authentication+jwt"},
    "a nested token": {"cty": "JWT"},
    "encrypted": {"enc": "A256GCM", "alg": "dir"},
    "zipped": {"zip": "DEF"},
    "detached": {"b64": False, "crit": ["b64"]},
    "critical: nothing": {"crit": []},
    "critical: unknown": {"crit": ["http://example.invalid/UNDEFINED"], "http://example.invalid/UNDEFINED": True},
    "a type that is a list": {"typ": ["at+jwt"]},
    "a key id that is a list": {"kid": ["ec-1"]},
    "a key id that is a number": {"kid": 1},
    "a key id that is a path": {"kid": "../../../../dev/null"},
    "a key id that is a query": {"kid": "' UNION SELECT 'ec-1"},
}
# What is harmless where the signature is ours: the claims are read all the same, and nothing else is looked at.
HARMLESS: Final = frozenset({"a nested token", "zipped"})


@pytest.mark.parametrize("header", CONFUSED.values(), ids=CONFUSED)
def test_it_takes_no_other_kind_of_token(issuer: Issuer, key_file: Path, ask: Ask, header: dict[str, Any]) -> None:
    head = encode({"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"} | header)
    answer = ask(sign(head, issuer.claims(), ec_key(issuer)))
    is_harmless = any(CONFUSED[name] is header for name in HARMLESS)
    assert answer.status_code == (200 if is_harmless else 401)


def test_it_reads_no_claims_that_are_not_a_plain_object(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    head = {"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"}
    inner = issuer.token()
    for payload in (inner, json.dumps(inner), "[]", "null", "7", "", "{", '{"iss":' * 900, "[" * 4000, "\ud800"):
        body = b64(payload.encode(errors="surrogatepass"))
        text = f"{encode(head)}.{body}"
        signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(text.encode(), ec_key(issuer))
        assert code(ask(f"{text}.{b64(signature)}")) == REFUSED, payload[:40]


def test_it_survives_headers_that_are_no_json(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    """Nobody has signed these: they come from whoever likes."""
    for head in (
        "[" * 5000,
        '{"a":' * 1000,
        "9" * 5000,
        "null",
        "[]",
        '"ES256"',
        "{",
        "",
        '{"alg":"ES256","kid":1e999}',
    ):
        assert code(ask(f"{b64(head.encode())}.e30.AAAA")) == REFUSED, head[:40]
    for token in ("..", "a.b", "a.b.c.d", "a.b.c.d.e", "=.=.=", "a" * 3000, "....", f"{b64(b'{}')}..", "é.é.é"):
        assert code(ask(token)) == REFUSED, token[:40]


NUMBERS: Final[tuple[tuple[str, Any], ...]] = (
    ("exp", float("inf")),
    ("exp", float("nan")),
    ("exp", 10**400),
    ("exp", -1),
    ("exp", True),
    ("exp", None),
    ("exp", [4_000_000_000]),
    ("exp", {}),
    ("iat", float("inf")),
    ("iat", "yesterday"),
    ("iat", None),
    ("nbf", float("inf")),
    ("nbf", "tomorrow"),
    ("nbf", None),
)


@pytest.mark.parametrize(("claim", "value"), NUMBERS)
def test_it_survives_odd_times(issuer: Issuer, key_file: Path, ask: Ask, claim: str, value: Any) -> None:
    head = encode({"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"})
    assert code(ask(sign(head, issuer.claims(**{claim: value}), ec_key(issuer)))) == REFUSED


def test_it_takes_times_within_the_leeway_and_no_further(
    issuer: Issuer, key_file: Path, ask: Ask, settings: Settings
) -> None:
    now, leeway = int(time.time()), settings.JWT_LEEWAY
    for claims, is_good in (
        ({"iat": now - 600, "exp": now - leeway + 5}, True),
        ({"iat": now - 600, "exp": now - leeway - 5}, False),
        ({"nbf": now + leeway - 5}, True),
        ({"nbf": now + leeway + 60}, False),
        ({"iat": now + leeway - 5}, True),
        ({"iat": now + leeway + 60}, False),
    ):
        assert ask(issuer.token(**claims)).status_code == (200 if is_good else 401), claims


def test_it_refuses_a_token_that_lives_too_long(issuer: Issuer, key_file: Path, ask: Ask, settings: Settings) -> None:
    now = int(time.time())
    assert ask(issuer.token(iat=now, exp=now + settings.JWT_LONGEST_LIFE)).status_code == 200
    for exp in (now + settings.JWT_LONGEST_LIFE + 60, now + 10**9, 2**62):
        assert code(ask(issuer.token(iat=now, exp=int(exp)))) == REFUSED


@pytest.mark.parametrize(
    ("claims", "is_good"),
    [
        ({"aud": [AUDIENCE]}, True),
        ({"aud": ["billing", AUDIENCE]}, True),
        ({"aud": []}, False),
        ({"aud": ["billing"]}, False),
        ({"aud": f"{AUDIENCE} billing"}, False),
        ({"aud": f"{AUDIENCE}-2"}, False),
        ({"aud": AUDIENCE[:-1]}, False),
        ({"aud": AUDIENCE.upper()}, False),
        ({"aud": ""}, False),
        ({"aud": "*"}, False),
        ({"aud": {AUDIENCE: 1}}, False),
        ({"aud": [AUDIENCE, 7]}, False),
        ({"iss": ISSUER[:-1]}, False),
        ({"iss": f"{ISSUER}/"}, False),
        ({"iss": ISSUER.upper()}, False),
        ({"iss": [ISSUER]}, False),
        ({"iss": ""}, False),
        ({"sub": ["carol"]}, False),
        ({"sub": {"name": "carol"}}, False),
        ({"sub": True}, False),
        ({"sub": None}, False),
        ({"sub": "carol smith"}, False),
        ({"sub": "carol\x00"}, False),
        ({"sub": "cаrol"}, False),  # noqa: RUF001 - a Cyrillic letter
        ({"sub": "carol@example.com"}, True),
    ],
)
def test_it_compares_audience_issuer_and_subject_whole(
    issuer: Issuer, key_file: Path, ask: Ask, claims: dict[str, Any], is_good: bool
) -> None:
    head = encode({"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"})
    answer = ask(sign(head, issuer.claims(**claims), ec_key(issuer)))
    assert answer.status_code == (200 if is_good else 401)


@pytest.mark.parametrize(
    "scope",
    ["ops", "ops:", ":admin", "ops:*", "*", "ops.admin", "ops/admin", "admin", "ops:admin:x", "xops:admin",
     "ops: admin", "ops:admin;ops:read", "ops:admin\tops:read", "ops:admin\n", "ops%3Aadmin", "OPS:READ",
     "ops:adm\u0131n"],
)  # fmt: skip
def test_it_takes_no_part_of_a_scope_for_the_whole(issuer: Issuer, key_file: Path, ask: Ask, scope: str) -> None:
    for claims in ({"scope": scope}, {"scope": ..., "scp": [scope]}, {"scope": [[scope]]}, {"scope": {scope: True}}):
        for method in ("get", "post"):
            assert code(ask(issuer.token(**claims), method=method)) == (403, "FORBIDDEN")


def test_it_takes_a_token_from_the_authorization_header_alone(issuer: Issuer, key_file: Path, db: None) -> None:
    token = issuer.token()
    client = APIClient()
    client.cookies["access_token"] = client.cookies["Authorization"] = token
    tries = (
        client.get("/v1/admin/operators", {"access_token": token, "token": token, "authorization": f"Bearer {token}"}),
        client.post("/v1/admin/operators", f"access_token={token}", content_type="application/x-www-form-urlencoded"),
        client.get("/v1/admin/operators", HTTP_X_AUTHORIZATION=f"Bearer {token}", HTTP_X_ACCESS_TOKEN=token),
        client.get("/v1/admin/operators", HTTP_AUTHORIZATION=f"Basic {b64(f'carol:{token}'.encode())}"),
        client.get("/v1/admin/operators", HTTP_AUTHORIZATION=f"DPoP {token}"),
        client.get("/v1/admin/operators", HTTP_AUTHORIZATION=f"Bearer {token}, Bearer {token}"),
        client.get("/v1/admin/operators", HTTP_AUTHORIZATION=f"Bearer {token}\x00"),
    )
    assert [code(answer) for answer in tries] == [REFUSED] * len(tries)


# --- What is published --------------------------------------------------------------------------------------------


def jwk_of(key: Any, **members: Any) -> dict[str, Any]:
    return public_jwk(key) | {"kid": "new", "use": "sig"} | members


def accepts(path: Path, ask: Ask, issuer: Issuer, key: Any, jwk: dict[str, Any]) -> bool:
    """Publish the key beside a good one, and try a token that it has signed."""
    issuer.keys["new"] = key
    try:
        good = public_jwk(issuer.keys["ec-1"]) | {"kid": "ec-1", "use": "sig"}
        replace(path, json.dumps({"keys": [jwk, good]}))
        assert ask(issuer.token()).status_code == 200, "one odd key has shut the good one out"
        return ask(issuer.token(kid="new")).status_code == 200
    finally:
        del issuer.keys["new"]


def test_it_trusts_only_keys_that_are_strong_and_meant_for_signatures(key_file: Path, ask: Ask) -> None:
    mine = Issuer()
    strong = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    curve = ec.generate_private_key(ec.SECP256R1())
    assert accepts(key_file, ask, mine, strong, jwk_of(strong))
    assert accepts(key_file, ask, mine, strong, jwk_of(strong, key_ops=["verify"], alg="RS256"))
    assert accepts(key_file, ask, mine, curve, jwk_of(curve, alg="ES256"))

    private = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(curve)) | {"kid": "new"}
    for key, jwk in (
        (strong, jwk_of(strong, use="enc")),
        (strong, jwk_of(strong, key_ops=["encrypt"])),
        (strong, jwk_of(strong, key_ops=[])),
        (strong, jwk_of(strong, alg="PS256")),
        (strong, jwk_of(strong, alg="RS512")),
        (strong, jwk_of(strong, alg="HS256")),
        (strong, jwk_of(strong, kty="oct", k="AAAA")),
        (strong, jwk_of(strong, n="AQAB")),
        (strong, jwk_of(strong, n=7)),
        (strong, jwk_of(strong, kid=7)),
        (strong, jwk_of(strong, kid="")),
        (curve, private),
        (curve, jwk_of(curve, crv="P-384")),
        (curve, jwk_of(curve, y="AAAA")),
    ):
        assert not accepts(key_file, ask, mine, key, jwk), jwk


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")  # of the test's own signing
def test_it_trusts_no_weak_key(key_file: Path, ask: Ask) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - the point
    assert not accepts(key_file, ask, Issuer(), weak, jwk_of(weak))


@pytest.mark.parametrize("odd", [None, 7, "key", [], {}, {"kty": "EC"}, {"kty": []}, {"kid": "x"}])
def test_it_passes_over_entries_that_are_no_keys(issuer: Issuer, key_file: Path, ask: Ask, odd: Any) -> None:
    replace(key_file, json.dumps({"keys": [odd, *issuer.key_set()["keys"]]}))
    assert ask(issuer.token()).status_code == 200


def test_it_goes_on_through_a_rotation_with_overlap_and_forgets_the_removed_key(
    key_server: KeySetServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Issuer()
    key_server.publish(mine)
    assert ask(mine.token()).status_code == 200
    mine.add("ec-2")
    key_server.publish(mine)

    pass_seconds(monkeypatch, keysets.FRESH + 1)
    assert ask(mine.token(kid="ec-1")).status_code == ask(mine.token(kid="ec-2")).status_code == 200

    old = mine.keys.pop("ec-1")
    key_server.publish(mine)
    pass_seconds(monkeypatch, 2 * keysets.FRESH + 2)
    assert ask(mine.token(kid="ec-2")).status_code == 200
    mine.keys["ec-1"] = old
    assert code(ask(mine.token(kid="ec-1"))) == REFUSED
    assert key_server.asked == 3


# --- An issuer in trouble -----------------------------------------------------------------------------------------


def judged(token: str) -> str:
    """Judge one token without a request, as many threads do at once."""
    try:
        return read_token(token).name
    except Exception as error:
        return type(error).__name__
    finally:
        connection.close()


def test_it_asks_once_however_many_tokens_name_unknown_keys(
    issuer: Issuer, key_server: KeySetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_server.delay = 0.1
    flood = [issuer.token(header={"kid": os.urandom(8).hex()}) for _ in range(200)]
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(judged, flood)) == {"AuthenticationFailed"}
        assert key_server.asked == 1
        for minute in range(1, 4):
            pass_seconds(monkeypatch, minute * (keysets.COOLDOWN + 1))
            assert set(pool.map(judged, flood)) == {"AuthenticationFailed"}
            assert key_server.asked == 1 + minute


def test_it_judges_known_keys_at_once_while_an_unknown_one_is_looked_for(
    issuer: Issuer, key_server: KeySetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged(issuer.token()) == "carol"
    pass_seconds(monkeypatch, keysets.COOLDOWN + 1)
    key_server.delay = 1.0
    looking = threading.Thread(target=judged, args=(issuer.token(header={"kid": "unknown"}),))
    looking.start()
    while key_server.asked < 2:
        time.sleep(0.01)
    began = time.perf_counter()
    assert judged(issuer.token()) == "carol"
    took = time.perf_counter() - began
    looking.join()
    assert took < 0.5


def test_it_goes_on_with_what_it_knows_when_its_keys_are_due_and_the_issuer_is_silent(
    issuer: Issuer, key_server: KeySetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread waits for the issuer; nobody else does."""
    assert judged(issuer.token()) == "carol"
    monkeypatch.setattr(keysets, "FETCH_TIMEOUT", 0.5)
    key_server.delay = 0.8
    pass_seconds(monkeypatch, keysets.FRESH + 1)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(judged, [issuer.token()] * 64)) == {"carol"}
    assert key_server.asked == 2


def telling(script: Callable[[socket.socket], None]) -> tuple[str, socket.socket, list[int]]:
    """Say whatever is to be said to each connection; return where, what to close, and how many there were."""
    listener, seen = socket.create_server(("127.0.0.1", 0)), [0]

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            seen[0] += 1
            with client:
                try:
                    client.recv(65536)
                    script(client)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/jwks", listener, seen


def answer(body: bytes, *, status: str = "200 OK", length: int | None = None, more: str = "") -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{more}\r\n".encode() + body


def trickle(client: socket.socket) -> None:
    client.sendall(answer(b"", length=1000))
    for _ in range(1000):
        client.sendall(b" ")
        time.sleep(0.02)


def endless(client: socket.socket) -> None:
    client.sendall(answer(b"", length=10**12))
    while True:
        client.sendall(b" " * 65536)


GOOD: Final = json.dumps(Issuer().key_set()).encode()
TROUBLES: Final[dict[str, Callable[[socket.socket], None]]] = {
    "a redirect": lambda client: client.sendall(
        answer(b"", status="302 Found", more="Location: http://127.0.0.1:9/\r\n")
    ),
    "a redirect to a file": lambda client: client.sendall(
        answer(b"", status="302 Found", more="Location: file:///etc/passwd\r\n")
    ),
    "a truncated answer": lambda client: client.sendall(answer(GOOD[:-10], length=len(GOOD))),
    "brackets without an end": lambda client: client.sendall(answer(b"[" * 100_000)),
    "no HTTP": lambda client: client.sendall(b"220 mail.example ESMTP\r\n"),
    "a hang-up": lambda client: client.close(),
    "an endless answer": endless,
    "one byte at a time": trickle,
    "an error with good keys": lambda client: client.sendall(answer(GOOD, status="500 Oops")),
    "a key set in a list": lambda client: client.sendall(answer(b"[" + GOOD + b"]")),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_it_asks_a_broken_issuer_once_per_pause_and_never_long(
    issuer: Issuer, ask: Ask, settings: Settings, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keysets, "FETCH_TIMEOUT", 0.5)
    url, listener, seen = telling(TROUBLES[trouble])
    settings.JWT_ISSUER, settings.JWT_AUDIENCE = ISSUER, AUDIENCE
    settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH = url, ""
    with listener:
        began = time.perf_counter()
        for _ in range(5):
            answered = ask(issuer.token())
            assert code(answered) == (503, "IDENTITY_UNAVAILABLE")
            assert int(answered["Retry-After"]) >= 1
        assert time.perf_counter() - began < 2
    assert seen == [1]


def test_it_takes_no_keys_from_a_file_by_way_of_an_address(
    issuer: Issuer, key_file: Path, ask: Ask, settings: Settings
) -> None:
    settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH = key_file.as_uri(), ""
    assert code(ask(issuer.token())) == (503, "IDENTITY_UNAVAILABLE")
