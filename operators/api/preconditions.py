"""ETags: a thing's version in quotes, and what If-Match and If-None-Match say about it (RFC 9110 §13)."""

from __future__ import annotations

import re
from typing import Final, Protocol

from rest_framework.request import Request

from operators.errors import FieldProblem, InvalidPayload, OperatorError, PreconditionFailed

ETAG: Final = re.compile(r'"([0-9]{1,18})"')


class Versioned(Protocol):
    """What has an ETag: an operator, a rule."""

    @property
    def version(self) -> int: ...


class PreconditionRequired(OperatorError):
    code, status = "PRECONDITION_REQUIRED", 428

    def __init__(self) -> None:
        super().__init__("Send If-Match with the ETag that you saw, or * to change whatever is there.")


def etag(thing: Versioned) -> str:
    return f'"{thing.version}"'


def expected_version(request: Request, *, is_required: bool = False) -> int | None:
    """Read If-Match: the version that the caller saw, or None for any.

    Raises PreconditionRequired, PreconditionFailed for a tag that cannot be ours, and InvalidPayload for
    what is no tag.
    """
    header = request.headers.get("If-Match")
    if header is None:
        if is_required:
            raise PreconditionRequired
        return None
    if header.strip() == "*":
        return None
    if match := ETAG.fullmatch(header.strip()):
        return int(match.group(1))
    # A weak tag never matches here (RFC 9110 §8.8.3.2), and one that we did not make matches nothing.
    if re.fullmatch(r'(?:W/)?"[\x21\x23-\x7e]*"', header.strip()):
        raise PreconditionFailed("If-Match names no version of what is there.")
    raise InvalidPayload([FieldProblem("If-Match", 'One ETag in quotes, such as "7", or *.')])


def is_known(request: Request, thing: Versioned) -> bool:
    """Tell whether If-None-Match already names the thing's present version."""
    header = request.headers.get("If-None-Match", "")
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag(thing) in tags
