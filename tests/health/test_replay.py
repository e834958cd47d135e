"""Publishing a file of reports, and what ingest makes of the sample."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import time_machine
from django.conf import settings
from django.core.management import CommandError, call_command

from deploy.dev.nats import Nats
from health.models import HealthReport, HealthTransition
from health.streams import TOPOLOGY
from operators import actions, jetstream
from operators.models import Operator
from tests.factories import ALICE, make_operator
from tests.streams import Message, purge_stream, read_stream

pytestmark = pytest.mark.django_db

ROOT: Final = Path(settings.BASE_DIR)
SAMPLE: Final = ROOT / "deploy" / "dev" / "sample" / "health_reports.ndjson"
EXPECTED: Final = ROOT / "tests" / "data" / "health_expected.json"


@pytest.fixture(autouse=True)
def _empty_streams() -> None:
    for stream in ("SMPP_HEALTH", "SMPP_HEALTH_DEAD"):
        purge_stream(stream)


@pytest.fixture
def telia() -> Operator:
    return make_operator(name="Telia SE +46")


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(*lines: dict[str, Any] | bytes) -> str:
        path = tmp_path / "reports.ndjson"
        path.write_bytes(
            b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
        )
        return str(path)

    return write


def report(operator: str | None = "Telia SE +46", *, at: str = "2026-11-01T12:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "eventId": str(uuid.uuid4()),
        **({"operator": operator} if operator is not None else {}),
        "connectorId": "smpp-connector-0",
        "observedAt": at,
        "bindState": "BOUND",
        "errorRate": 0.0289,
        "bindError": None,
        "latencyMs": 373,
        **more,
    }


def replay(*arguments: str) -> str:
    output = io.StringIO()
    call_command("replay_health", *arguments, stdout=output)
    return output.getvalue()


def published() -> list[Message]:
    return read_stream("SMPP_HEALTH")


def test_it_publishes_each_report_to_its_operator_with_the_id_for_the_name(
    telia: Operator, file: Callable[..., str]
) -> None:
    inwi = make_operator(name="Inwi +21")
    lines = [report("TELIA se +46"), report("Inwi +21"), report(None, operatorId=str(telia.id)), report()]

    output = replay(file(*lines), "--shift-days", "none")

    assert output == (
        "4 reports of 2 operators published\n"
        "observed from 2026-11-01T12:00:00.000000Z to 2026-11-01T12:00:00.000000Z, shifted by 0 days\n"
    )
    found = published()
    assert [message.subject for message in found] == [
        f"smpp.health.{operator.id}" for operator in (telia, inwi, telia, telia)
    ]
    for message, line in zip(found, lines, strict=True):
        operator_id = message.subject.removeprefix("smpp.health.")
        expected = {**line, "operatorId": operator_id, "observedAt": "2026-11-01T12:00:00.000000Z"}
        expected.pop("operator", None)
        assert message.body == expected


def test_it_leaves_what_it_need_not_know_for_ingest_to_judge(telia: Operator, file: Callable[..., str]) -> None:
    line = json.dumps(report(errorRate="x", rack={"row": 7})).replace('"x"', "1e999").encode()

    replay(file(line))

    assert b'"errorRate":1e999' in published()[0].raw
    assert b'"rack":{"row": 7}' in published()[0].raw


def test_it_publishes_a_report_twice_that_the_file_holds_twice(telia: Operator, file: Callable[..., str]) -> None:
    line = report()
    replay(file(line, line))
    replay(file(line, line))
    assert len(published()) == 4


def test_it_keeps_the_order_of_many_reports(telia: Operator, file: Callable[..., str]) -> None:
    lines = [report(latencyMs=number) for number in range(1_000)]
    replay(file(*lines))
    assert [message.body["latencyMs"] for message in published()] == list(range(1_000))


@pytest.mark.parametrize(
    ("now", "arguments", "moved_to"),
    [
        ("2026-11-23T13:00:00", [], "2026-11-23"),
        ("2026-11-23T11:00:00", [], "2026-11-22"),
        ("2026-11-01T12:30:00", [], "2026-11-01"),
        ("2026-10-20T13:00:00", [], "2026-10-20"),
        ("2026-11-23T13:00:00", ["--shift-days", "auto"], "2026-11-23"),
        ("2026-11-23T13:00:00", ["--shift-days", "-3"], "2026-10-29"),
        ("2026-11-23T13:00:00", ["--shift-days", "40"], "2026-12-11"),
        ("2026-11-23T13:00:00", ["--shift-days", "none"], "2026-11-01"),
    ],
    ids=["later today", "yesterday", "the same day", "back", "auto", "three days back", "into the future", "none"],
)
def test_it_moves_the_times_by_whole_days(
    telia: Operator, file: Callable[..., str], now: str, arguments: list[str], moved_to: str
) -> None:
    lines = [report(at="2026-11-01T12:00:00Z"), report(at="2026-11-01T13:10:00.5+01:00"), report()]
    with time_machine.travel(datetime.fromisoformat(now).replace(tzinfo=UTC), tick=True):
        output = replay(file(*lines), *arguments)

    assert f"from {moved_to}T12:00:00.000000Z to {moved_to}T12:10:00.500000Z" in output
    assert [message.body["observedAt"] for message in published()] == [
        f"{moved_to}T12:00:00.000000Z",
        f"{moved_to}T12:10:00.500000Z",
        f"{moved_to}T12:00:00.000000Z",
    ]


def test_it_takes_the_time_that_the_reports_took(telia: Operator, file: Callable[..., str]) -> None:
    """Twelve seconds at twelve times the speed, a late report among them."""
    lines = [report(at=f"2026-11-01T12:00:{second:02}Z") for second in (0, 3, 1, 6, 12)]
    started = time.monotonic()
    replay(file(*lines), "--speed", "12")
    assert 0.95 < time.monotonic() - started < 12


BAD: dict[str, tuple[bytes | dict[str, Any], str]] = {
    "no JSON": (b"hello", "line 2: This is not a JSON object."),
    "a list": (b"[]", "line 2: This is not a JSON object."),
    "NaN": (b'{"errorRate": NaN}', "line 2: This is not a JSON object."),
    "deep nesting": (b'{"x": ' + b"[" * 2_000 + b"]" * 2_000 + b"}", "line 2: This is not a JSON object."),
    "Latin-1 in a name of a field": (b'{"\xe9": 1}', "line 2: This is not a JSON object."),
    "nobody": (report(None), "line 2: operator: This field is required, or operatorId."),
    "two ways": (report(operatorId=str(uuid.uuid4())), "line 2: operator: Give either this or operatorId."),
    "an unknown name": (report("Nobody +99"), "line 2: operator: There is no such operator."),
    "a deleted operator": (report("Gone +1"), "line 2: operator: There is no such operator."),
    "a name with NUL": (report("Telia\0"), "line 2: operator: There is no such operator."),
    "a number as name": ({**report(), "operator": 7}, "line 2: operator: Must be a name."),
    "Latin-1 in a name": (b'{"operator": "\xe9"}', "line 2: operator: Must be a name."),
    "an unknown id": (report(None, operatorId=str(uuid.uuid4())), "line 2: operatorId: There is no such operator."),
    "no id": (report(None, operatorId="seven"), "line 2: operatorId: Must be a UUID."),
    "no time": (report(at=""), "line 2: observedAt: Must be an RFC 3339 time with an offset"),
    "a time without offset": (report(at="2026-11-01T12:00:00"), "line 2: observedAt: Must be an RFC 3339 time"),
    "nothing but an operator": ({"operator": "Telia SE +46"}, "line 2: observedAt: This field is required."),
}


@pytest.mark.parametrize("name", BAD)
def test_it_publishes_nothing_of_a_file_with_a_line_that_is(
    name: str, telia: Operator, file: Callable[..., str]
) -> None:
    gone = make_operator(name="Gone +1")
    actions.delete_operator(actor=ALICE, operator_id=gone.id)
    line, message = BAD[name]

    with pytest.raises(CommandError) as caught:
        replay(file(report(), line, report()))

    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("Nothing was published.")
    assert published() == []


def test_it_counts_empty_lines_and_skips_them(telia: Operator, file: Callable[..., str]) -> None:
    assert replay(file(b"", b"  ", report(), b"")).startswith("1 reports of 1 operators published")
    with pytest.raises(CommandError, match=r"^line 3: This is not a JSON object"):
        replay(file(b"", report(), b"x"))
    assert replay(file()) == "0 reports published\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speed", "-1"], "argument --speed: invalid factor value: '-1'"),
        (["--speed", "nan"], "argument --speed: invalid factor value: 'nan'"),
        (["--shift-days", "1.5"], "argument --shift-days: invalid days value: '1.5'"),
        (["--shift-days", "-999999"], "The shift leads out of the calendar; nothing was published."),
        (["--shift-days", "99999999999"], "The shift leads out of the calendar; nothing was published."),
    ],
    ids=["negative speed", "no speed", "part of a day", "before the calendar", "beyond all days"],
)
def test_it_refuses_what_makes_no_sense(
    telia: Operator, file: Callable[..., str], arguments: list[str], message: str
) -> None:
    with pytest.raises(CommandError) as caught:
        replay(file(report()), *arguments)
    assert message in str(caught.value)
    assert published() == []


def test_it_says_which_file_it_cannot_read() -> None:
    with pytest.raises(CommandError, match=r"^Cannot read the file: No such file or directory\.$"):
        replay("/nowhere/reports.ndjson")


def test_it_says_that_the_broker_is_away(telia: Operator, file: Callable[..., str], nats_server: Nats) -> None:
    path = file(report())
    nats_server.stop()
    try:
        with pytest.raises(CommandError, match=r"^The broker does not answer; 0 of 1 reports are published\.$"):
            replay(path)
    finally:
        nats_server.start()


def test_it_says_that_there_is_no_stream(telia: Operator, file: Callable[..., str]) -> None:
    async def change(*, is_there: bool) -> None:
        async with jetstream.connection("tests") as client:
            js = client.jetstream(timeout=5)
            if is_there:
                await jetstream.ensure(js, TOPOLOGY)
            else:
                # Together with its copies, which would look for their place in the old one.
                await js.delete_stream("SMPP_HEALTH_DEAD")
                await js.delete_stream("SMPP_HEALTH")

    asyncio.run(change(is_there=False))
    try:
        with pytest.raises(CommandError, match=r"^There is no stream SMPP_HEALTH; manage.py bootstrap makes it\.$"):
            replay(file(report()))
    finally:
        asyncio.run(change(is_there=True))


def test_it_tells_how_far_it_came(telia: Operator, file: Callable[..., str]) -> None:
    path = file(report(), report(notes="x" * 1_100_000))
    with pytest.raises(CommandError, match=r"^A report is larger than the broker takes; 1 of 2 reports are published"):
        replay(path)
    assert len(published()) == 1


def test_it_passes_on_why_the_broker_refuses(telia: Operator, file: Callable[..., str]) -> None:
    async def limit(size: int) -> None:
        async with jetstream.connection("tests") as client:
            js = client.jetstream(timeout=5)
            await js.update_stream((await js.stream_info("SMPP_HEALTH")).config, max_msg_size=size)

    asyncio.run(limit(1_000))
    try:
        with pytest.raises(
            CommandError, match=r"^The broker refuses: message size exceeds maximum allowed; 2 of 3 reports"
        ):
            replay(file(report(), report(notes="x" * 1_000), report()))
    finally:
        asyncio.run(limit(-1))


def test_it_reads_standard_input_and_ends_with_1_on_a_bad_line(telia: Operator, process_env: dict[str, str]) -> None:
    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", "replay_health", "-", "--shift-days", "none"],
            cwd=ROOT,
            env=process_env,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )

    good = run(json.dumps(report()) + "\n")
    assert (good.returncode, good.stdout.splitlines()[0]) == (0, "1 reports of 1 operators published")
    bad = run("{}")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == (
        "CommandError: line 1: operator: This field is required, or operatorId. Nothing was published.\n"
    )


def test_it_ends_with_1_where_the_database_is_away(tmp_path: Path, process_env: dict[str, str]) -> None:
    path = tmp_path / "reports.ndjson"
    path.write_text(json.dumps(report()))
    done = subprocess.run(
        [sys.executable, "manage.py", "replay_health", str(path)],
        cwd=ROOT,
        env={**process_env, "DATABASE_URL": "postgres://ops:secret@127.0.0.1:9/ops"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("CommandError: The database does not answer.\n")
    assert "secret" not in done.stderr


def test_ingest_makes_of_the_sample_exactly_the_moves_expected(transactional_db: None) -> None:
    expected = json.loads(EXPECTED.read_text())
    names = sorted({json.loads(line)["operator"] for line in SAMPLE.read_text().splitlines()})
    operators = {make_operator(name=name).id: name for name in names}

    output = replay(str(SAMPLE))
    call_command("ingest_health", once=True, without_clock=True, metrics_port=0)

    assert output.startswith(f"{expected['delivered']} reports of {len(names)} operators published\n")
    shift = timedelta(days=int(output.rsplit(" ", 2)[1]))
    assert HealthReport.objects.count() == expected["distinct"]
    assert HealthReport.objects.order_by("-observed_at")[0].observed_at <= datetime.now(UTC)
    moves = sorted(HealthTransition.objects.order_by("id"), key=lambda move: operators[move.operator_id])
    assert [
        {
            "operator": operators[move.operator_id],
            "from": move.from_state,
            "to": move.to_state,
            "at": f"{move.at - shift:%Y-%m-%dT%H:%M:%SZ}",
            "reason": move.reason,
        }
        for move in moves
    ] == expected["transitions"]

    # Again: every report is known, nothing moves.
    replay(str(SAMPLE))
    call_command("ingest_health", once=True, without_clock=True, metrics_port=0)
    assert HealthReport.objects.count() == expected["distinct"]
    assert HealthTransition.objects.count() == len(expected["transitions"])
    assert read_stream("SMPP_HEALTH_DEAD") == []
