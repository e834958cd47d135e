from __future__ import annotations

import base64
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from pytest_django.fixtures import Settings

from config import keysets
from config.devkeys import ensure_dev_keys
from tests.config.issuer import ISSUER, Ask, Issuer, KeySetServer, public_jwk, serving

CLOCK = time.monotonic


def code(answer: HttpResponse) -> tuple[int, str]:
    return answer.status_code, json.loads(answer.content)["code"]


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1"])
@pytest.mark.parametrize("kind", ["at+jwt", "JWT", "application/at+jwt"])
def test_it_accepts_rs256_and_es256_access_tokens(
    issuer: Issuer, key_file: Path, ask: Ask, kid: str, kind: str
) -> None:
    assert ask(issuer.token(kid=kid, header={"typ": kind})).status_code == 200


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "an issuer that only begins like ours": {"iss": f"{ISSUER}.evil.example"},
    "another audience": {"aud": "billing"},
    "no issuer": {"iss": ...},
    "no audience": {"aud": ...},
    "no expiry": {"exp": ...},
    "no time of issue": {"iat": ...},
    "no subject": {"sub": ...},
    "a subject that is a number": {"sub": 7},
    "an empty subject": {"sub": ""},
    "a subject with a line break": {"sub": "carol\nroot"},
    "an endless subject": {"sub": "c" * 201},
    "expired": {"exp": 1_700_000_000},
    "an expiry that is no number": {"exp": "soon"},
    "issued in the future": {"iat": 4_000_000_000, "exp": 4_000_000_300},
    "not valid yet": {"nbf": 4_000_000_000},
}


@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_it_refuses_tokens_with_wrong_claims(issuer: Issuer, key_file: Path, ask: Ask, claims: dict[str, Any]) -> None:
    try:
        token = issuer.token(**claims)
    except TypeError:  # PyJWT itself does not sign this one
        token = signed_by_hand(issuer, claims)
    answer = ask(token)

    assert code(answer) == (401, "UNAUTHENTICATED")
    assert answer["WWW-Authenticate"] == 'Bearer realm="operators", error="invalid_token"'


WRONG_HEADERS: dict[str, dict[str, Any]] = {
    "an ID token": {"typ": "id+jwt"},
    "no type": {"typ": None},
    "no algorithm": {"alg": None},
    "an unknown key": {"kid": "ec-9"},
    "no key": {"kid": None},
    "a critical extension": {"crit": ["exp"], "exp": 1},
    "another key's id": {"kid": "rsa-1"},
}


@pytest.mark.parametrize("header", WRONG_HEADERS.values(), ids=WRONG_HEADERS)
def test_it_refuses_tokens_with_wrong_headers(issuer: Issuer, key_file: Path, ask: Ask, header: dict[str, Any]) -> None:
    key = issuer.keys["ec-1"]
    headers = {"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"} | header
    head = encode({name: value for name, value in headers.items() if value is not None})
    assert code(ask(sign(head, issuer.claims(), key))) == (401, "UNAUTHENTICATED")


def test_it_never_takes_a_key_from_the_token(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    intruder = ec.generate_private_key(ec.SECP256R1())
    with serving() as server:
        server.body = json.dumps({"keys": [public_jwk(intruder) | {"kid": "ec-1"}]}).encode()
        header = {
            "alg": "ES256",
            "typ": "at+jwt",
            "kid": "ec-1",
            "jwk": public_jwk(intruder),
            "jku": server.url,
            "x5u": server.url,
        }
        assert code(ask(sign(encode(header), issuer.claims(), intruder))) == (401, "UNAUTHENTICATED")
        assert server.asked == 0


def test_it_refuses_the_public_key_as_a_shared_secret(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    pem = (
        issuer.keys["rsa-1"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head = encode({"alg": "HS256", "typ": "at+jwt", "kid": "rsa-1"})
    body = encode(issuer.claims())
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(f"{head}.{body}".encode(), pem)
    assert code(ask(f"{head}.{body}.{b64(mac)}")) == (401, "UNAUTHENTICATED")


def test_it_refuses_unsigned_and_altered_tokens(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    head, body, signature = issuer.token(scope="ops:read").split(".")
    unsigned = f"{encode({'alg': 'none', 'typ': 'at+jwt', 'kid': 'ec-1'})}.{body}."
    promoted = f"{head}.{encode(issuer.claims(scope='ops:admin'))}.{signature}"
    for token in (unsigned, promoted, f"{head}.{body}.", f"{head}.{body}.{signature[:-4]}AAAA", "a.b.c"):
        assert code(ask(token)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic Y2Fyb2w6eA==", "{token}", "Bearer {token} x", "Bearer {token},Bearer {token}",
     "Bearer\t{token}", "Token {token}", "Bearer " + "x" * 9000],
)  # fmt: skip
def test_it_refuses_odd_authorization_headers(issuer: Issuer, key_file: Path, ask: Ask, header: str) -> None:
    assert code(ask(None, header=header.replace("{token}", issuer.token()))) == (401, "UNAUTHENTICATED")


def test_it_asks_for_a_token_where_none_was_sent(key_file: Path, ask: Ask) -> None:
    answer = ask(None)
    assert code(answer) == (401, "UNAUTHENTICATED")
    assert answer["WWW-Authenticate"] == 'Bearer realm="operators"'


@pytest.mark.parametrize(
    ("scopes", "reads", "writes"),
    [
        ({"scope": "ops:admin"}, True, True),
        ({"scope": "ops:read"}, True, False),
        ({"scope": "openid ops:read profile"}, True, False),
        ({"scope": ..., "scp": ["ops:admin"]}, True, True),
        ({"scope": "ops:readonly"}, False, False),
        ({"scope": "ops:administrator"}, False, False),
        ({"scope": "OPS:ADMIN"}, False, False),
        ({"scope": "ops:admin,ops:read"}, False, False),
        ({"scope": ..., "scp": [["ops:admin"], 1]}, False, False),
        ({"scope": 1}, False, False),
        ({"scope": ""}, False, False),
        ({"scope": ...}, False, False),
    ],
)
def test_it_compares_scopes_as_whole_words(
    issuer: Issuer, key_file: Path, ask: Ask, scopes: dict[str, Any], reads: bool, writes: bool
) -> None:
    token = issuer.token(**scopes)
    for method in ("get", "head", "options"):
        assert ask(token, method=method).status_code in ((200, 204) if reads else (403,))
    # An empty body is refused for what it lacks, once the scope has let it pass.
    assert ask(token, method="post").status_code == (400 if writes else 403)


def test_it_names_the_scope_that_is_missing(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    answer = ask(issuer.token(scope="ops:read"), method="post")
    assert code(answer) == (403, "FORBIDDEN")
    assert answer["WWW-Authenticate"] == 'Bearer realm="operators", error="insufficient_scope", scope="ops:admin"'


def test_it_refuses_an_admin_id_that_is_not_the_subject(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    assert ask(issuer.token(), HTTP_X_ADMIN_ID="carol").status_code == 200
    for other in ("mallory", "Carol", "carol,mallory", ""):
        assert code(ask(issuer.token(), HTTP_X_ADMIN_ID=other)) == (403, "FORBIDDEN")


def test_it_reads_the_key_file_again_when_it_changes(issuer: Issuer, key_file: Path, ask: Ask) -> None:
    newer = Issuer()
    assert ask(issuer.token()).status_code == 200
    assert ask(newer.token()).status_code == 401

    replace(key_file, json.dumps(newer.key_set()))
    assert ask(newer.token()).status_code == 200
    assert ask(issuer.token()).status_code == 401

    replace(key_file, "{ half a fi")
    assert ask(newer.token()).status_code == 200

    key_file.unlink()
    assert ask(newer.token()).status_code == 200


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "EC"}]}', "\x00"])
def test_it_judges_no_token_without_keys(
    issuer: Issuer, tmp_path: Path, settings: Settings, ask: Ask, content: str | None
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH = "", str(path)
    answer = ask(issuer.token())
    assert code(answer) == (503, "IDENTITY_UNAVAILABLE")
    assert answer["Retry-After"] == "5"


def test_it_fails_closed_when_no_key_set_is_configured(issuer: Issuer, settings: Settings, ask: Ask) -> None:
    settings.JWT_JWKS_URL = settings.JWT_JWKS_PATH = ""
    assert code(ask(issuer.token())) == (503, "IDENTITY_UNAVAILABLE")


def test_it_fetches_the_key_set_once_for_many_calls(issuer: Issuer, key_server: KeySetServer, ask: Ask) -> None:
    for _ in range(10):
        assert ask(issuer.token()).status_code == 200
    for number in range(10):
        assert ask(issuer.token(header={"kid": f"unknown-{number}"})).status_code == 401
    assert key_server.asked == 1


def test_it_finds_a_rotated_key_after_the_cooldown(
    issuer: Issuer, key_server: KeySetServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = Issuer()
    newer.add("ec-2")
    assert ask(issuer.token()).status_code == 200
    key_server.publish(newer)
    assert ask(newer.token(kid="ec-2")).status_code == 401

    pass_seconds(monkeypatch, 31)
    assert ask(newer.token(kid="ec-2")).status_code == 200
    assert ask(issuer.token()).status_code == 401


def test_it_keeps_the_last_keys_while_the_issuer_is_away_but_not_for_ever(
    issuer: Issuer, key_server: KeySetServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(issuer.token()).status_code == 200
    key_server.status = 500

    pass_seconds(monkeypatch, 600)
    for _ in range(5):
        assert ask(issuer.token()).status_code == 200
    assert key_server.asked == 2

    pass_seconds(monkeypatch, 4300)
    assert code(ask(issuer.token())) == (503, "IDENTITY_UNAVAILABLE")

    key_server.status = 200
    pass_seconds(monkeypatch, 4310)
    assert ask(issuer.token()).status_code == 200


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"keys": []}', b"\xff"])
def test_it_answers_503_when_the_issuer_gives_no_keys(
    issuer: Issuer, key_server: KeySetServer, ask: Ask, body: bytes
) -> None:
    key_server.body = body
    for _ in range(3):
        assert code(ask(issuer.token())) == (503, "IDENTITY_UNAVAILABLE")
    assert key_server.asked == 1


def test_it_does_not_wait_for_a_silent_issuer_on_every_call(
    issuer: Issuer, key_server: KeySetServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keysets, "FETCH_TIMEOUT", 0.1)
    key_server.delay = 0.3
    for _ in range(5):
        assert code(ask(issuer.token())) == (503, "IDENTITY_UNAVAILABLE")
    assert key_server.asked == 1


def test_it_makes_development_keys_once_and_keeps_them_private(tmp_path: Path) -> None:
    key, key_set = ensure_dev_keys(tmp_path / "keys")
    first = key.read_bytes()
    assert ensure_dev_keys(tmp_path / "keys") == (key, key_set)
    assert key.read_bytes() == first
    assert key.stat().st_mode & 0o777 == 0o600
    (published,) = json.loads(key_set.read_text())["keys"]
    assert "d" not in published
    assert sorted(os.listdir(tmp_path / "keys")) == ["jwks.json", "signing-key.pem"]


def test_it_issues_a_development_token_that_the_api_accepts(ask: Ask) -> None:
    printed = io.StringIO()
    call_command("issue_dev_token", "--sub", "dave", "--scope", "ops:read", "--minutes", "5", stdout=printed)
    token = printed.getvalue().removesuffix("\n")

    assert ask(token, HTTP_X_ADMIN_ID="dave").status_code == 200
    assert ask(token, method="post").status_code == 403
    with time_machine.travel(jwt.decode(token, options={"verify_signature": False})["exp"] + 60):
        assert ask(token).status_code == 401


def test_it_issues_no_token_without_a_development_key(settings: Settings, tmp_path: Path) -> None:
    settings.JWT_DEV_KEY_PATH = ""
    with pytest.raises(CommandError, match="JWT_DEV_KEY_PATH is not set"):
        call_command("issue_dev_token")
    settings.JWT_DEV_KEY_PATH = str(tmp_path / "none.pem")
    with pytest.raises(CommandError, match="run bootstrap first"):
        call_command("issue_dev_token")


@pytest.mark.parametrize("options", [["--sub", "two words"], ["--sub", ""], ["--minutes", "0"], ["--minutes", "-5"]])
def test_it_refuses_odd_options_of_a_development_token(options: list[str]) -> None:
    with pytest.raises(CommandError, match=options[0]):
        call_command("issue_dev_token", *options)


def replace(path: Path, content: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(content)
    draft.replace(path)


def pass_seconds(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the key sets' clock run ahead; their caches count monotonic time."""
    monkeypatch.setattr("time.monotonic", lambda: CLOCK() + seconds)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def encode(part: dict[str, Any]) -> str:
    return b64(json.dumps(part).encode())


def sign(head: str, claims: dict[str, Any], key: Any) -> str:
    """Sign what PyJWT would refuse to sign; always with ES256."""
    body = encode(claims)
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(f"{head}.{body}".encode(), key)
    return f"{head}.{body}.{b64(signature)}"


def signed_by_hand(issuer: Issuer, claims: dict[str, Any]) -> str:
    head = encode({"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"})
    return sign(head, issuer.claims(**claims), issuer.keys["ec-1"])
