"""Who calls the API: a JWT bearer token, checked against the issuer's published keys (RFC 9068, RFC 8725)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from config.keysets import UnknownKey, key_for

if TYPE_CHECKING:
    # REST framework imports this module while it loads its views.
    from rest_framework.views import APIView

ALGORITHMS: Final = ("RS256", "ES256")
TOKEN_TYPES: Final = frozenset({"at+jwt", "application/at+jwt", "jwt"})
ADMIN_SCOPE: Final = "ops:admin"
READ_SCOPE: Final = "ops:read"
BEARER: Final = re.compile(r"Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)", re.IGNORECASE)
SUBJECT: Final = re.compile(r"[\x21-\x7e]{1,200}")
MAX_TOKEN: Final = 8192
# Brackets without an end, an infinite number, a text where a number belongs: PyJWT lets these pass through.
ODD_JSON: Final = (RecursionError, OverflowError, TypeError)
REALM: Final = 'Bearer realm="operators"'


@dataclass(frozen=True)
class Caller:
    """The subject of a valid token, in the shape that REST framework expects of a user."""

    name: str
    scopes: frozenset[str]
    is_authenticated = True
    is_active = True

    def get_username(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


class InsufficientScope(PermissionDenied):
    """Tell the caller which scope would do (RFC 6750 §3.1)."""

    default_detail = "The token's scope does not allow this."

    def __init__(self, scope: str) -> None:
        super().__init__()
        self.auth_header = f'{REALM}, error="insufficient_scope", scope="{scope}"'


class BearerAuthentication(BaseAuthentication):
    """Accept a signed access token; keys come from the configured key set alone, never from the token's header."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        header = request.headers.get("Authorization")
        if header is None:
            return None
        match = BEARER.fullmatch(header) if len(header) <= MAX_TOKEN else None
        if match is None:
            raise AuthenticationFailed("Send one Authorization header of the form: Bearer TOKEN.")
        caller = read_token(match.group(1))
        if request.headers.get("X-Admin-Id", caller.name) != caller.name:
            raise PermissionDenied("X-Admin-Id differs from the token's sub.")
        return caller, None

    def authenticate_header(self, request: Request) -> str:
        return f'{REALM}, error="invalid_token"' if "Authorization" in request.headers else REALM


class HasScope(BasePermission):
    """Ask for `ops:admin`, or for `ops:read` at least where nothing is changed; scopes are compared as whole words."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        caller: object = request.user
        if not isinstance(caller, Caller):
            return False
        is_question = request.method == "POST" and getattr(view, "changes_nothing", False)
        is_read = request.method in SAFE_METHODS or is_question
        wanted = READ_SCOPE if is_read else ADMIN_SCOPE
        if caller.scopes.isdisjoint({ADMIN_SCOPE, wanted}):
            raise InsufficientScope(wanted)
        return True


def read_token(token: str) -> Caller:
    """Check a token and return its subject; raises AuthenticationFailed, or KeySetUnavailable when keys are away."""
    try:
        header = jwt.get_unverified_header(token)
        if "crit" in header or str(header.get("typ", "")).lower() not in TOKEN_TYPES:
            raise AuthenticationFailed("The token is not an access token.")
        key = key_for(header.get("kid"))
        algorithm = header.get("alg")
        if algorithm != key.algorithm_name or algorithm not in ALGORITHMS:
            raise AuthenticationFailed("The token is not signed with RS256 or ES256 by its key.")
        claims = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=settings.JWT_AUDIENCE,
            issuer=settings.JWT_ISSUER,
            leeway=settings.JWT_LEEWAY,
            options={"require": ["iss", "aud", "exp", "iat", "sub"]},
        )
        if claims["exp"] - claims["iat"] > settings.JWT_LONGEST_LIFE:
            raise AuthenticationFailed("The token lives longer than this service accepts.")
    except (jwt.InvalidTokenError, UnknownKey, *ODD_JSON):
        raise AuthenticationFailed("The token is not valid.") from None
    subject = claims["sub"]
    if not SUBJECT.fullmatch(subject):
        raise AuthenticationFailed("The token's sub has 1 to 200 printable ASCII characters without spaces.")
    return Caller(name=subject, scopes=_scopes(claims))


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    granted = claims.get("scope", claims.get("scp", ()))
    if isinstance(granted, str):
        return frozenset(granted.split(" "))
    if isinstance(granted, list):
        return frozenset(word for word in granted if isinstance(word, str))
    return frozenset()
