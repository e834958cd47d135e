"""Looking into the dead letters."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from django.core.management import CommandError, call_command

from deploy.dev.nats import Nats
from health.deadletters import DeadLetter
from health.reports import Malformed, parse
from health.streams import DEAD_LETTERS
from operators import jetstream
from tests.streams import purge_stream

SUBJECT: Final = "smpp.health.0a1b2c3d-0000-4000-8000-00000000000f"


@pytest.fixture(autouse=True)
def _empty_streams() -> None:
    for stream in ("SMPP_HEALTH", "SMPP_HEALTH_DEAD"):
        purge_stream(stream)


def bury_all(*bodies: bytes, over_rest: bool = False) -> list[int | None]:
    """Bury bodies that are no reports, one by one, and return their places in the stream once the copies are there."""
    places = [None if over_rest else next(_places) for _ in bodies]

    async def main() -> None:
        async with jetstream.connection("tests") as client:
            js = client.jetstream(timeout=5)
            count = (await js.stream_info("SMPP_HEALTH_DEAD")).state.messages + len(bodies)
            for raw, place in zip(bodies, places, strict=True):
                letter = DeadLetter(SUBJECT, raw, malformed(raw), place).outgoing()
                await js.publish(letter.subject, letter.payload, headers=dict(letter.headers or {}))
            async with asyncio.timeout(10):
                while (await js.stream_info("SMPP_HEALTH_DEAD")).state.messages < count:
                    await asyncio.sleep(0.02)

    asyncio.run(main())
    return places


# The broker takes a letter about the same message once, also after a purge.
_places = itertools.count(1_000_000)


def malformed(raw: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse(raw, now=datetime(2026, 11, 23, 12, tzinfo=UTC))
    return caught.value


def listed(*arguments: str) -> list[str]:
    output = io.StringIO()
    call_command("list_dead_reports", *arguments, stdout=output)
    return output.getvalue().splitlines()


def as_json(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in listed("--json", *arguments)]


def test_it_shows_the_newest_first_with_time_reason_rule_and_place() -> None:
    [first, second] = bury_all(b"hello", b'{"eventId": "x"}')

    lines = listed()

    assert [line[29:] for line in lines[::3]] == [
        f"INVALID_FIELD  {SUBJECT}, message {second}",
        f"NOT_JSON  {SUBJECT}, message {first}",
    ]
    assert lines[1:3] == ["  eventId: Must be a UUID.", '  16 bytes: {"eventId": "x"}']
    assert lines[4:6] == ["  The body is not JSON, near byte 0.", "  5 bytes: hello"]
    age = datetime.now(UTC) - datetime.fromisoformat(lines[0][:27])
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_it_says_which_came_over_rest() -> None:
    bury_all(b"hello", over_rest=True)
    assert listed()[0].endswith(f"NOT_JSON  {SUBJECT}, over REST")
    assert as_json()[0]["sequence"] is None


def test_it_gives_a_terminal_no_command_and_little_of_a_large_body() -> None:
    bury_all(b"\x1b[2J\n\xff" + b"x" * 10_000)

    *_, shown = listed()

    assert shown == r"  10006 bytes: \x1b[2J\n\xff" + "x" * 194
    assert shown.isascii()


def test_it_writes_json_for_programs() -> None:
    [place] = bury_all(b'{"eventId": "x"}')

    [found] = as_json()

    assert datetime.fromisoformat(found.pop("storedAt")).tzinfo is UTC
    assert found == {
        "reason": "INVALID_FIELD",
        "field": "eventId",
        "message": "Must be a UUID.",
        "subject": SUBJECT,
        "sequence": place,
        "size": 16,
        "start": '{"eventId": "x"}',
    }


def test_it_shows_only_one_reason_and_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("health.deadreports.AT_A_TIME", 4)
    places = bury_all(*(b"hello" if number % 3 else b"" for number in range(15)))

    assert [found["sequence"] for found in as_json("--reason", "EMPTY")] == places[12::-3]
    assert [found["sequence"] for found in as_json("--limit", "6")] == places[:8:-1]
    assert [found["sequence"] for found in as_json("--reason", "NOT_JSON", "--limit", "3")] == [
        places[14],
        places[13],
        places[11],
    ]
    assert listed("--reason", "FUTURE") == []


def test_it_passes_over_a_letter_that_was_deleted() -> None:
    places = bury_all(b"hello", b"hello", b"hello")

    async def delete_the_middle_one() -> None:
        async with jetstream.connection("tests") as client:
            js = client.jetstream(timeout=5)
            await js.delete_msg("SMPP_HEALTH_DEAD", (await js.stream_info("SMPP_HEALTH_DEAD")).state.last_seq - 1)

    asyncio.run(delete_the_middle_one())
    assert [found["sequence"] for found in as_json()] == [places[2], places[0]]


def test_it_shows_nothing_where_there_is_nothing() -> None:
    assert listed() == []


def test_it_refuses_what_makes_no_sense() -> None:
    with pytest.raises(CommandError, match=r"^--limit is at least 1\.$"):
        listed("--limit", "0")
    with pytest.raises(CommandError, match="invalid choice: 'BROKEN'"):
        listed("--reason", "BROKEN")


def test_it_says_that_the_broker_is_away(nats_server: Nats) -> None:
    nats_server.stop()
    try:
        with pytest.raises(CommandError, match=r"^The broker does not answer\.$"):
            listed()
    finally:
        nats_server.start()


def test_it_says_that_there_is_no_stream() -> None:
    async def change(*, is_there: bool) -> None:
        async with jetstream.connection("tests") as client:
            js = client.jetstream(timeout=5)
            if is_there:
                await jetstream.ensure(js, [DEAD_LETTERS])
            else:
                await js.delete_stream("SMPP_HEALTH_DEAD")

    asyncio.run(change(is_there=False))
    try:
        with pytest.raises(CommandError, match=r"^There is no stream SMPP_HEALTH_DEAD; manage.py bootstrap makes it"):
            listed()
    finally:
        asyncio.run(change(is_there=True))
