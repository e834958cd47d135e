"""Cursors: where a listing goes on, in a form that callers hand back and neither read nor make."""

from __future__ import annotations

from typing import Any, Final

from django.core.signing import BadSignature, Signer
from rest_framework.request import Request

from operators.errors import FieldProblem, InvalidPayload

NO_CURSOR: Final = "This is no cursor of this listing; leave it out to begin anew."
LONGEST: Final = 500


def write_cursor(listing: str, position: tuple[Any, ...]) -> str:
    """Sign a position for one listing: no other listing takes it, and nobody else can make one."""
    return _signer(listing).sign_object(list(position))


def read_cursor(request: Request, listing: str) -> list[Any] | None:
    """Return the position that the caller hands back, None where it begins; raises InvalidPayload."""
    text = request.query_params.get("cursor", "")
    if not text:
        return None
    try:
        position: list[Any] = _signer(listing).unsign_object(text[: LONGEST + 1])
    except (BadSignature, ValueError):
        raise InvalidPayload([FieldProblem("cursor", NO_CURSOR)]) from None
    return position


def _signer(listing: str) -> Signer:
    # The key's name is part of the salt, so that a signature made for anything else is worth nothing here.
    return Signer(salt=f"operators.cursor:{listing}", sep=".")
