from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.views import APIView

from config.problems import flatten
from operators.api.parsers import MAX_DEPTH, StrictJSONParser


def parse(body: bytes, media_type: str = "application/json") -> dict[str, Any]:
    document: dict[str, Any] = StrictJSONParser().parse(io.BytesIO(body), media_type)
    return document


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def test_it_reads_an_object_with_exact_fractions() -> None:
    assert parse(b' {"a": 1.10, "b": [1, true, null, "\xc3\xa9 \xf0\x9f\x93\xb1"]} ') == {
        "a": Decimal("1.10"),
        "b": [1, True, None, "é 📱"],
    }


def test_it_hands_the_bytes_to_a_view_that_asks_for_them(settings: Any) -> None:
    class RawView(APIView):
        takes_raw_body = True

    def parse_raw(body: bytes, media_type: str = "application/json") -> object:
        return StrictJSONParser().parse(io.BytesIO(body), media_type, {"view": RawView()})

    assert parse_raw(b'[{"a": 1, "a": \xff') == b'[{"a": 1, "a": \xff'
    with pytest.raises(APIException, match="must be JSON in UTF-8"):
        parse_raw(b"{}", "application/json; charset=latin-1")
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert parse_raw(b"x" * 10) == b"x" * 10
    with pytest.raises(APIException, match="at most 10 bytes"):
        parse_raw(b"x" * 11)


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", 'application/json;charset="UTF-8"'])
def test_it_takes_utf8_by_any_of_its_names(media_type: str) -> None:
    assert parse(b"{}", media_type) == {}


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "body: The body is not JSON: see line 1, column 1."),
    "spaces": (b"  ", "body: The body is not JSON: see line 1, column 3."),
    "half an object": (b'{"a": ', "body: The body is not JSON: see line 1, column 7."),
    "two objects": (b"{} {}", "body: The body is not JSON: see line 1, column 4."),
    "single quotes": (b"{'a': 1}", "body: The body is not JSON: see line 1, column 2."),
    "a trailing comma": (b'{"a": 1,}', "body: The body is not JSON: see line 1, column"),
    "a comment": (b'{"a": 1} // x', "body: The body is not JSON: see line 1, column 10."),
    "a raw line break in text": (b'{"a": "\n"}', "body: The body is not JSON: see line 1, column 8."),
    "a byte-order mark": (b"\xef\xbb\xbf{}", "body: The body is not JSON: see line 1, column 1."),
    "a list": (b"[]", "body: The body must be a JSON object."),
    "null": (b"null", "body: The body must be a JSON object."),
    "Latin-1": (b'{"a": "\xe9"}', "body: The body is not UTF-8."),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "body: The body is not UTF-8."),
    "a surrogate in UTF-8": (b'{"a": "\xed\xa0\x80"}', "body: The body is not UTF-8."),
    "an overlong form": (b'{"a": "\xc0\xaf"}', "body: The body is not UTF-8."),
    "NaN": (b'{"a": NaN}', "body: NaN is not a JSON number."),
    "Infinity": (b'{"a": -Infinity}', "body: -Infinity is not a JSON number."),
    "endless digits": (b'{"a": ' + b"9" * 5000 + b"}", "body: The body holds a number with too many digits."),
    "endless exponent": (b'{"a": 1e99999999999999999999}', "body: The body holds a number with too many digits."),
    "a key twice": (b'{"port": 1, "port": 2}', "port: This field is given more than once."),
    # Took minutes when each key was compared with all others.
    "a key twice among many": (
        b"{%s}" % b",".join(b'"%x":1' % (number % 90_000) for number in range(90_001)),
        "0: This field is given more than once.",
    ),
    "a key twice within": (b'{"a": {"b": 1, "b": 2}}', "b: This field is given more than once."),
    "NUL": (b'{"a": {"b": ["x", "y\\u0000"]}}', "a.b[1]: NUL and lone surrogates are not text."),
    "a lone surrogate": (b'{"a": "\\ud800"}', "a: NUL and lone surrogates are not text."),
    "NUL in a key": (b'{"a\\u0000": 1}', "a\\x00: NUL and lone surrogates are not text."),
    "a lone surrogate in a key": (b'{"\\udfff": 1}', "\\udfff: NUL and lone surrogates are not text."),
    "one level too many": (nested(MAX_DEPTH + 1), f"body: The body is nested deeper than {MAX_DEPTH} levels."),
    "a depth bomb": (nested(100_000), f"body: The body is nested deeper than {MAX_DEPTH} levels."),
    "an unfinished depth bomb": (b"[" * 100_000, f"body: The body is nested deeper than {MAX_DEPTH} levels."),
}


@pytest.mark.parametrize(("body", "expected"), REFUSED.values(), ids=REFUSED)
def test_it_refuses_what_two_readers_could_read_differently(body: bytes, expected: str) -> None:
    with pytest.raises(APIException) as caught:
        parse(body)
    assert caught.value.status_code == 400
    (problem,) = flatten(caught.value.detail)
    # Python 3.13 points at a trailing comma itself, earlier ones behind it.
    assert f"{problem.field}: {problem.message}".startswith(expected)


def test_it_reads_as_deep_as_it_says() -> None:
    assert parse(nested(MAX_DEPTH))


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(text, values, max_size=5))
def test_it_reads_back_whatever_our_renderer_writes(document: dict[str, Any]) -> None:
    assert parse(JSONRenderer().render(document)) == document


@given(st.binary(max_size=200))
def test_it_answers_any_bytes_with_an_object_or_a_refusal(body: bytes) -> None:
    try:
        assert isinstance(parse(body), dict)
    except APIException as refusal:
        assert refusal.status_code == 400
