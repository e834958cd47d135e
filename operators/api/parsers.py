"""A JSON parser that takes what RFC 8259 calls interoperable, and nothing that two readers could read differently."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType, ValidationError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 32


class PayloadTooLarge(APIException):
    status_code = 413
    default_code = "PAYLOAD_TOO_LARGE"


class StrictJSONParser(BaseParser):
    """Read one JSON object in UTF-8, its fractions as Decimal.

    Refuses duplicate keys, NaN and Infinity, NUL and lone surrogates (PostgreSQL stores neither), deep nesting, and a
    body above DATA_UPLOAD_MAX_MEMORY_SIZE. Messages name keys, never values: one of them may be a password.

    A view whose `takes_raw_body` is true gets the bytes, and has to read them as strictly.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        _check_charset(media_type or "")
        if getattr((parser_context or {}).get("view"), "takes_raw_body", False):
            return _read(stream)
        try:
            text = _read(stream).decode("utf-8")
            document = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=Decimal)
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except json.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: see line {error.lineno}, column {error.colno}.") from None
        except RecursionError:
            raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
        except (ValueError, InvalidOperation):
            raise ParseError("The body holds a number with too many digits.") from None
        if not isinstance(document, dict):
            raise ParseError("The body must be a JSON object.")
        _check_text(document, "", depth=1)
        return document


def _check_charset(media_type: str) -> None:
    for parameter in media_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(media_type, "The body must be JSON in UTF-8.")


def _read(stream: IO[Any]) -> bytes:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert limit is not None
    body = bytes(stream.read(limit + 1))
    if len(body) > limit:
        raise PayloadTooLarge(f"The body may have at most {limit} bytes.")
    return body


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Counted in one pass: a body of the largest size has a hundred thousand keys.
        [(name, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValidationError({_shown(name): "This field is given more than once."})
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not a JSON number.")


def _check_text(value: object, path: str, *, depth: int) -> None:
    if depth > MAX_DEPTH and isinstance(value, dict | list):
        raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for key, inner in value.items():
            name = f"{path}.{_shown(key)}" if path else _shown(key)
            _check_text(key, name, depth=depth)
            _check_text(inner, name, depth=depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_text(inner, f"{path}[{index}]", depth=depth + 1)
    elif isinstance(value, str) and ("\x00" in value or any("\ud800" <= char <= "\udfff" for char in value)):
        raise ValidationError({path: "NUL and lone surrogates are not text."})


def _shown(key: str) -> str:
    """Make a caller's key fit for an error message."""
    return ascii(key[:64])[1:-1]
