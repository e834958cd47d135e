"""Which bodies are reports, and what is said of those that are not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.reports import MAX_BYTES, BindState, DeadReason, Malformed, Report, parse
from operators.wire import rfc3339

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIELDS: Final[dict[str, Any]] = {
    "eventId": "5d88a202-dc61-478e-9b17-70d5810bcf07",
    "operatorId": "0a1b2c3d-0000-4000-8000-00000000000f",
    "connectorId": "smpp-connector-0",
    "observedAt": "2026-11-23T11:59:58.250Z",
    "bindState": "BOUND",
    "errorRate": 0.0289,
    "bindError": None,
    "latencyMs": 373,
}

REQUIRED = "This field is required."
NOT_AN_OBJECT = "The body must be a JSON object."
TWICE = "This field is given more than once."
TOO_DEEP = "The body is nested too deeply."
UUID_RULE = "Must be a UUID."
CONNECTOR_RULE = "Must be 1 to 128 printable ASCII characters."
TIME_RULE = "Must be an RFC 3339 time with an offset, such as 2026-11-01T12:00:00Z."
BIND_RULE = "Must be BOUND, UNBOUND or FAILBACK."
RATE_RULE = "Must be a number from 0 to 1."
BIND_ERROR_RULE = "Must be null or 1 to 128 printable ASCII characters."
LATENCY_RULE = "Must be null or a whole number from 0 to 2147483647."
FUTURE = "More than 5 minutes ahead of our clock."


def body(**changes: Any) -> bytes:
    return json.dumps({**FIELDS, **changes}).encode()


def with_text(field: str, text: str) -> bytes:
    """Put JSON text in the place of a field's value."""
    return body(**{field: "PLACE"}).replace(b'"PLACE"', text.encode())


def with_more(text: str | bytes) -> bytes:
    """Put JSON text behind the last field."""
    return body()[:-1] + b", " + (text.encode() if isinstance(text, str) else text) + b"}"


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in FIELDS.items() if name != field}).encode()


def refusal(raw: bytes) -> tuple[str, str, str]:
    with pytest.raises(Malformed) as caught:
        parse(raw, now=NOW)
    return caught.value.reason.value, caught.value.field, caught.value.message


def test_it_reads_a_report() -> None:
    assert parse(body(), now=NOW) == Report(
        event_id=uuid.UUID("5d88a202-dc61-478e-9b17-70d5810bcf07"),
        operator_id=uuid.UUID("0a1b2c3d-0000-4000-8000-00000000000f"),
        connector_id="smpp-connector-0",
        observed_at=datetime(2026, 11, 23, 11, 59, 58, 250_000, tzinfo=UTC),
        bind_state=BindState.BOUND,
        error_rate=0.0289,
        bind_error=None,
        latency_ms=373,
    )


@pytest.mark.parametrize(("state", "is_bound"), [("BOUND", True), ("FAILBACK", True), ("UNBOUND", False)])
def test_it_counts_a_bind_over_the_backup_as_bound(state: str, is_bound: bool) -> None:
    assert parse(body(bindState=state), now=NOW).is_bound is is_bound


ACCEPTED: dict[str, tuple[bytes, str, object]] = {
    "no errors": (body(errorRate=0), "error_rate", 0.0),
    "nothing but errors": (body(errorRate=1), "error_rate", 1.0),
    "a rate too small for a float": (with_text("errorRate", "1e-999"), "error_rate", 0.0),
    "no latency": (body(latencyMs=None), "latency_ms", None),
    "the least latency": (body(latencyMs=0), "latency_ms", 0),
    "the greatest latency": (body(latencyMs=2_147_483_647), "latency_ms", 2_147_483_647),
    "a vendor's own status": (body(bindError="ESME_RVENDOR_0x0400"), "bind_error", "ESME_RVENDOR_0x0400"),
    "an escaped quotation mark": (body(bindError='say "no"'), "bind_error", 'say "no"'),
    "a long connector": (body(connectorId="c" * 128), "connector_id", "c" * 128),
    "a UUID in capitals": (body(eventId=FIELDS["eventId"].upper()), "event_id", uuid.UUID(FIELDS["eventId"])),
    "a UUID without dashes": (
        body(eventId=FIELDS["eventId"].replace("-", "")),
        "event_id",
        uuid.UUID(FIELDS["eventId"]),
    ),
    "another offset": (
        body(observedAt="2026-11-23T17:29:58+05:30"),
        "observed_at",
        datetime(2026, 11, 23, 11, 59, 58, tzinfo=UTC),
    ),
    "five minutes ahead": (body(observedAt="2026-11-23T12:05:00Z"), "observed_at", NOW + timedelta(minutes=5)),
    "long ago": (body(observedAt="1970-01-01T00:00:00Z"), "observed_at", datetime(1970, 1, 1, tzinfo=UTC)),
    "a field of tomorrow": (with_more('"rack": {"row": [1, "b"]}'), "latency_ms", 373),
    "a number of tomorrow": (with_more('"bytes": ' + "9" * 5000), "latency_ms", 373),
    "a name inside a field of tomorrow": (with_more('"was": {"errorRate": 1}'), "error_rate", 0.0289),
    "other letters in a field of tomorrow": (with_more('"città": "Forlì 📱"'), "latency_ms", 373),
    "white space around": (b" \r\n\t" + body() + b"\n", "latency_ms", 373),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_it_accepts(name: str) -> None:
    raw, attribute, value = ACCEPTED[name]
    assert getattr(parse(raw, now=NOW), attribute) == value


END: Final = len(body())
RATE_AT: Final = body().index(b"0.0289")


def nested_lists(levels: int) -> str:
    return "[" * levels + "]" * levels


def nested_objects(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


REFUSED: dict[str, tuple[bytes, str, str, str]] = {
    "nothing": (b"", "EMPTY", "", "The body is empty."),
    "eight megabytes": (
        b" " * 8_388_608,
        "TOO_LARGE",
        "",
        "The body has 8388608 bytes; 65536 are allowed.",
    ),
    "a byte too many": (
        body().ljust(MAX_BYTES + 1),
        "TOO_LARGE",
        "",
        "The body has 65537 bytes; 65536 are allowed.",
    ),
    "a million lists": (
        nested_lists(1_000_000).encode(),
        "TOO_LARGE",
        "",
        "The body has 2000000 bytes; 65536 are allowed.",
    ),
    "a million objects": (
        nested_objects(1_000_000).encode(),
        "TOO_LARGE",
        "",
        "The body has 6000001 bytes; 65536 are allowed.",
    ),
    "a list 2,000 deep": (nested_lists(2_000).encode(), "INVALID_FIELD", "", NOT_AN_OBJECT),
    "an object 2,000 deep": (nested_objects(2_000).encode(), "NOT_JSON", "", TOO_DEEP),
    "a field 2,000 lists deep": (with_text("errorRate", nested_lists(2_000)), "INVALID_FIELD", "errorRate", RATE_RULE),
    "an unknown field 2,000 lists deep": (with_more(f'"x": {nested_lists(2_000)}'), "NOT_JSON", "", TOO_DEEP),
    "an unknown field 30,000 lists deep": (with_more(f'"x": {nested_lists(30_000)}'), "NOT_JSON", "", TOO_DEEP),
    "an unknown field 2,000 objects deep": (with_more(f'"x": {nested_objects(2_000)}'), "NOT_JSON", "", TOO_DEEP),
    "UTF-16": (body().decode().encode("utf-16"), "NOT_UTF8", "", "The body is not UTF-8: see byte 0."),
    "Latin-1 in a field": (
        b'{"connectorId": "\xe9"}',
        "NOT_UTF8",
        "",
        "The body is not UTF-8: see byte 17.",
    ),
    "Latin-1 in an unknown field": (
        with_more(b'"x": "\xff"'),
        "NOT_UTF8",
        "",
        f"The body is not UTF-8: see byte {END + 7}.",
    ),
    "Latin-1 in an unknown name": (
        with_more(b'"\xff": 1'),
        "NOT_UTF8",
        "",
        f"The body is not UTF-8: see byte {END + 2}.",
    ),
    "an overlong form": (with_more(b'"x": "\xc0\xaf"'), "NOT_UTF8", "", f"The body is not UTF-8: see byte {END + 7}."),
    "a surrogate in UTF-8": (
        with_more(b'"x": "\xed\xa0\x80"'),
        "NOT_UTF8",
        "",
        f"The body is not UTF-8: see byte {END + 7}.",
    ),
    "white space": (b" \n ", "NOT_JSON", "", "The body is not JSON."),
    "a NUL": (b"\0", "NOT_JSON", "", "The body is not JSON, near byte 0."),
    "words": (b"hello", "NOT_JSON", "", "The body is not JSON, near byte 0."),
    "half a report": (body()[:100], "NOT_JSON", "", "The body is not JSON."),
    "a byte-order mark": (b"\xef\xbb\xbf" + body(), "NOT_JSON", "", "The body is not JSON, near byte 0."),
    "trailing garbage": (b"{} x", "INVALID_FIELD", "eventId", REQUIRED),
    "a report and garbage": (body() + b"x", "NOT_JSON", "", f"The body is not JSON, near byte {END + 1}."),
    "two reports": (body() + body(), "NOT_JSON", "", f"The body is not JSON, near byte {END + 1}."),
    "single quotes": (b"{'eventId': 1}", "NOT_JSON", "", "The body is not JSON, near byte 1."),
    "NaN": (with_text("errorRate", "NaN"), "NOT_JSON", "", f"The body is not JSON, near byte {RATE_AT}."),
    "Infinity": (with_text("errorRate", "Infinity"), "NOT_JSON", "", f"The body is not JSON, near byte {RATE_AT}."),
    "minus Infinity": (
        with_text("errorRate", "-Infinity"),
        "NOT_JSON",
        "",
        f"The body is not JSON, near byte {RATE_AT + 1}.",
    ),
    "NaN in an unknown field": (with_more('"x": NaN'), "NOT_JSON", "", f"The body is not JSON, near byte {END + 6}."),
    "a line break in text": (with_more(b'"x": "a\nb"'), "NOT_JSON", "", f"The body is not JSON, near byte {END + 8}."),
    "half a surrogate pair": (body(connectorId="\ud800"), "NOT_JSON", "", "The body is not JSON, near byte 128."),
    "a list": (b"[" + body() + b"]", "INVALID_FIELD", "", NOT_AN_OBJECT),
    "null": (b"null", "INVALID_FIELD", "", NOT_AN_OBJECT),
    "a number": (b"1", "INVALID_FIELD", "", NOT_AN_OBJECT),
    "an empty object": (b"{}", "INVALID_FIELD", "eventId", REQUIRED),
    "no eventId": (without("eventId"), "INVALID_FIELD", "eventId", REQUIRED),
    "no operatorId": (without("operatorId"), "INVALID_FIELD", "operatorId", REQUIRED),
    "no connectorId": (without("connectorId"), "INVALID_FIELD", "connectorId", REQUIRED),
    "no observedAt": (without("observedAt"), "INVALID_FIELD", "observedAt", REQUIRED),
    "no bindState": (without("bindState"), "INVALID_FIELD", "bindState", REQUIRED),
    "no errorRate": (without("errorRate"), "INVALID_FIELD", "errorRate", REQUIRED),
    "no bindError": (without("bindError"), "INVALID_FIELD", "bindError", REQUIRED),
    "no latencyMs": (without("latencyMs"), "INVALID_FIELD", "latencyMs", REQUIRED),
    "eventId null": (body(eventId=None), "INVALID_FIELD", "eventId", UUID_RULE),
    "eventId a number": (body(eventId=1), "INVALID_FIELD", "eventId", UUID_RULE),
    "eventId a word": (body(eventId="report-1"), "INVALID_FIELD", "eventId", UUID_RULE),
    "operatorId in braces": (
        body(operatorId="{" + FIELDS["operatorId"] + "}"),
        "INVALID_FIELD",
        "operatorId",
        UUID_RULE,
    ),
    "operatorId an object": (body(operatorId={}), "INVALID_FIELD", "operatorId", UUID_RULE),
    "connectorId null": (body(connectorId=None), "INVALID_FIELD", "connectorId", CONNECTOR_RULE),
    "connectorId a number": (body(connectorId=7), "INVALID_FIELD", "connectorId", CONNECTOR_RULE),
    "connectorId empty": (body(connectorId=""), "INVALID_FIELD", "connectorId", CONNECTOR_RULE),
    "connectorId too long": (body(connectorId="c" * 129), "INVALID_FIELD", "connectorId", CONNECTOR_RULE),
    "connectorId with NUL": (body(connectorId="a\0b"), "INVALID_FIELD", "connectorId", CONNECTOR_RULE),
    "connectorId with a final line break": (body(connectorId="a\n"), "INVALID_FIELD", "connectorId", CONNECTOR_RULE),
    "connectorId with other letters": (body(connectorId="città"), "INVALID_FIELD", "connectorId", CONNECTOR_RULE),
    "observedAt null": (body(observedAt=None), "INVALID_FIELD", "observedAt", TIME_RULE),
    "observedAt in seconds": (body(observedAt=1_795_000_000), "INVALID_FIELD", "observedAt", TIME_RULE),
    "observedAt without offset": (body(observedAt="2026-11-23T12:00:00"), "INVALID_FIELD", "observedAt", TIME_RULE),
    "observedAt a day": (body(observedAt="2026-11-23"), "INVALID_FIELD", "observedAt", TIME_RULE),
    "observedAt on no day": (body(observedAt="2026-02-30T12:00:00Z"), "INVALID_FIELD", "observedAt", TIME_RULE),
    "observedAt empty": (body(observedAt=""), "INVALID_FIELD", "observedAt", TIME_RULE),
    "the year 0": (body(observedAt="0000-01-01T00:00:00Z"), "INVALID_FIELD", "observedAt", TIME_RULE),
    "the year 1": (body(observedAt="0001-01-01T00:00:30Z"), "INVALID_FIELD", "observedAt", "Too long ago."),
    "the year 999": (body(observedAt="0999-12-31T23:59:59Z"), "INVALID_FIELD", "observedAt", "Too long ago."),
    "before the year 1": (
        body(observedAt="0001-01-01T00:00:00+23:59"),
        "INVALID_FIELD",
        "observedAt",
        "Too long ago.",
    ),
    "the year 9999": (body(observedAt="9999-12-31T23:59:59Z"), "FUTURE", "observedAt", FUTURE),
    "after the year 9999": (body(observedAt="9999-12-31T23:59:59-23:59"), "FUTURE", "observedAt", FUTURE),
    "more than five minutes ahead": (body(observedAt="2026-11-23T12:05:00.000001Z"), "FUTURE", "observedAt", FUTURE),
    "bindState null": (body(bindState=None), "INVALID_FIELD", "bindState", BIND_RULE),
    "bindState a number": (body(bindState=1), "INVALID_FIELD", "bindState", BIND_RULE),
    "bindState in small letters": (body(bindState="bound"), "INVALID_FIELD", "bindState", BIND_RULE),
    "bindState like our decoder's own words": (
        body(bindState="Object missing required field `errorRate`"),
        "INVALID_FIELD",
        "bindState",
        BIND_RULE,
    ),
    "errorRate null": (body(errorRate=None), "INVALID_FIELD", "errorRate", RATE_RULE),
    "errorRate true": (body(errorRate=True), "INVALID_FIELD", "errorRate", RATE_RULE),
    "errorRate as text": (body(errorRate="0.1"), "INVALID_FIELD", "errorRate", RATE_RULE),
    "errorRate in percent": (body(errorRate=2.89), "INVALID_FIELD", "errorRate", RATE_RULE),
    "errorRate below 0": (body(errorRate=-0.01), "INVALID_FIELD", "errorRate", RATE_RULE),
    "errorRate beyond floats": (with_text("errorRate", "1e999"), "INVALID_FIELD", "errorRate", RATE_RULE),
    "errorRate endless": (with_text("errorRate", "9" * 5000), "INVALID_FIELD", "errorRate", RATE_RULE),
    "bindError empty": (body(bindError=""), "INVALID_FIELD", "bindError", BIND_ERROR_RULE),
    "bindError a list": (body(bindError=[]), "INVALID_FIELD", "bindError", BIND_ERROR_RULE),
    "bindError with a bell": (body(bindError="ESME\a"), "INVALID_FIELD", "bindError", BIND_ERROR_RULE),
    "bindError with a final line break": (body(bindError="ESME\n"), "INVALID_FIELD", "bindError", BIND_ERROR_RULE),
    "latencyMs false": (body(latencyMs=False), "INVALID_FIELD", "latencyMs", LATENCY_RULE),
    "latencyMs a fraction": (body(latencyMs=37.5), "INVALID_FIELD", "latencyMs", LATENCY_RULE),
    "latencyMs below 0": (body(latencyMs=-1), "INVALID_FIELD", "latencyMs", LATENCY_RULE),
    "latencyMs too large": (body(latencyMs=2_147_483_648), "INVALID_FIELD", "latencyMs", LATENCY_RULE),
    "latencyMs endless": (with_text("latencyMs", "9" * 5000), "INVALID_FIELD", "latencyMs", LATENCY_RULE),
    "errorRate twice": (with_more('"errorRate": 0.5'), "INVALID_FIELD", "errorRate", TWICE),
    "bindError twice, once as text": (with_more('"bindError": "ESME_ROK"'), "INVALID_FIELD", "bindError", TWICE),
    "a name twice, once escaped": (with_more(r'"error\u0052ate": 0.5'), "INVALID_FIELD", "errorRate", TWICE),
    "an unknown field twice": (with_more('"x": 1, "x": 1'), "INVALID_FIELD", "x", TWICE),
    "a name twice that breaks lines": (with_more(r'"a\nb": 1, "a\nb": 1'), "INVALID_FIELD", r"a\nb", TWICE),
    "a name twice among many": (
        with_more(",".join(f'"{number % 5_000:x}":1' for number in range(5_001))),
        "INVALID_FIELD",
        "0",
        TWICE,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str) -> None:
    raw, *expected = REFUSED[name]
    assert refusal(raw) == tuple(expected)


def test_it_has_a_refusal_for_every_reason_that_a_body_alone_can_give() -> None:
    others = {DeadReason.WRONG_SUBJECT, DeadReason.UNKNOWN_OPERATOR}
    assert {reason for _, reason, _, _ in REFUSED.values()} == {*DeadReason} - others


def test_it_gives_a_report_without_escapes_and_unknown_fields_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("health.reports._refuse_repeated_keys", lambda text: pytest.fail("looked twice"))
    parse(body(), now=NOW)
    parse(body(bindError="ESME_RBINDFAIL"), now=NOW)


def test_a_refusal_passes_through_a_context_manager() -> None:
    """contextlib sets the traceback of what passes through, which a frozen exception does not bear."""

    @contextmanager
    def span() -> Iterator[None]:
        yield

    with pytest.raises(Malformed), span():
        parse(b"", now=NOW)


def test_a_refusal_names_its_field() -> None:
    with pytest.raises(Malformed, match=r"^errorRate: Must be a number from 0 to 1\.$"):
        parse(body(errorRate=7), now=NOW)
    with pytest.raises(Malformed, match=r"^The body is empty\.$"):
        parse(b"", now=NOW)


def parsed_or_refused(raw: bytes) -> Report | None:
    """Fail on anything but a report or Malformed."""
    try:
        report = parse(raw, now=NOW)
    except Malformed as malformed:
        assert malformed.message.isascii()
        assert malformed.field.isprintable()
        return None
    # What follows in ingest: a minute to either side, and the form that events have.
    for moment in (report.observed_at - timedelta(minutes=1), report.observed_at + timedelta(minutes=1)):
        assert datetime.fromisoformat(rfc3339(moment)) == moment
    assert 0 <= report.error_rate <= 1
    assert "\0" not in report.connector_id + (report.bind_error or "")
    return report


@given(st.binary(max_size=300))
def test_it_never_fails_on_any_bytes(raw: bytes) -> None:
    assert parsed_or_refused(raw) is None


@given(st.integers(0, len(body()) - 1), st.integers(0, 20), st.binary(max_size=20))
def test_it_never_fails_on_a_report_that_was_cut_and_spliced(start: int, length: int, piece: bytes) -> None:
    raw = body()
    parsed_or_refused(raw[:start] + piece + raw[start + length :])


def test_it_never_fails_at_any_depth() -> None:
    """The look for repeated keys gives up at another depth than the decoder, by a few levels."""
    found = [
        parsed_or_refused(with_more(f'"x": {nested(levels)}'))
        for nested in (nested_lists, nested_objects)
        for levels in range(600, 1_000)
    ]
    assert found[0] is not None
    assert len(found) == 800


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.uuids().map(str)
    | st.datetimes(timezones=st.timezones()).map(datetime.isoformat)
    | st.sampled_from(["BOUND", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.9999999Z", "2016-12-31T23:59:60Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), json_values, min_size=1), st.booleans())
def test_it_never_fails_on_any_value_of_any_field(changes: dict[str, Any], is_ascii: bool) -> None:
    parsed_or_refused(json.dumps({**FIELDS, **changes}, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass"))
