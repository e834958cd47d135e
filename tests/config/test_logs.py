from __future__ import annotations

import logging
import re
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
import structlog

from operators.secrets import MASK, Secret
from operators.tracing import span
from tests.factories import make_operator

if TYPE_CHECKING:
    from tests.config.conftest import Lines

CANARY = "canary-Zk7"
logger = logging.getLogger("operators.test")


def test_it_writes_one_object_with_the_house_keys(lines: Lines) -> None:
    operator_id = uuid.uuid4()
    with span("ops.test"):
        logger.warning("made %s", 3, extra={"operatorId": operator_id, "action": "create", "durationMs": 1.5})
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("ts"))
    assert re.fullmatch("[0-9a-f]{32}", line.pop("traceId"))
    assert re.fullmatch("[0-9a-f]{16}", line.pop("spanId"))
    assert line.pop("process")
    assert line == {
        "level": "warning",
        "message": "made 3",
        "logger": "operators.test",
        "action": "create",
        "operatorId": str(operator_id),
        "durationMs": 1.5,
        "service": "operator-management-service",
    }


@pytest.mark.django_db
def test_it_gives_the_line_of_a_change_the_trace_that_its_history_names(lines: Lines) -> None:
    operator = make_operator()
    (line,) = [line for line in lines() if line["message"] == "operator create done"]
    assert line["traceId"] == operator.audit_entries.get().trace_id != ""
    assert (line["operatorId"], line["action"], line["adminId"]) == (str(operator.pk), "create", "alice")


def test_it_takes_lines_of_structlog_and_what_is_bound_to_the_context(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(requestId="r-1"):
        structlog.stdlib.get_logger("operators.test").warning("hello", adminId="alice")
        logger.warning("and of the standard library")
    first, second = lines()
    assert (first["message"], first["adminId"], first["requestId"]) == ("hello", "alice", "r-1")
    assert second["requestId"] == "r-1"


def test_it_cannot_be_made_to_write_a_second_line(lines: Lines) -> None:
    forged = '\n{"level": "critical"}\r\n\x1b[31m\u2028'
    logger.warning("name is %s", forged, extra={"action": forged, forged: "key"})
    (line,) = lines()
    assert line["message"] == f"name is {forged}"
    assert line["action"] == forged


def test_it_masks_secrets_by_type_and_by_name_at_any_depth(lines: Lines) -> None:
    logger.warning(
        "rotated %s",
        Secret(CANARY),
        extra={
            "held": Secret(CANARY),
            "password": CANARY,
            "body": {
                "newPassword": CANARY,
                "list": [{"api_key": CANARY}, Secret(CANARY)],
                7: {"X-Vault-Token": CANARY},
            },
            "Authorization": f"Bearer {CANARY}",
            "credentialVersion": 3,
            "version": 4,
        },
    )
    (line,) = lines()
    assert CANARY not in str(line)
    assert line["message"] == f"rotated {MASK}"
    assert line["body"]["list"] == [{"api_key": MASK}, MASK]
    assert (line["credentialVersion"], line["version"]) == (3, 4)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"cannot reach nats://ops:{CANARY}@127.0.0.1:4222/x", f"cannot reach nats://ops:{MASK}@127.0.0.1:4222/x"),
        (f"postgres://ops:{CANARY}@@db/ops?x=1", f"postgres://ops:{MASK}@db/ops?x=1"),
        ("token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2ln_x-y was refused", f"token {MASK} was refused"),
        ("login with s.Ab3dEfGhIjKlMnOpQrStUvWx failed", f"login with {MASK} failed"),
        (
            "https://docs.example/a:b and smpp.carrier.example:2775",
            "https://docs.example/a:b and smpp.carrier.example:2775",
        ),
    ],
)
def test_it_masks_what_gives_itself_away_by_its_form(lines: Lines, text: str, shown: str) -> None:
    logger.warning(text)
    assert lines()[0]["message"] == shown


def test_it_writes_tracebacks_without_local_variables(lines: Lines) -> None:
    def fail() -> None:
        password = CANARY
        raise ValueError(len(password))

    try:
        fail()
    except ValueError:
        logger.exception("failed")
    (line,) = lines()
    assert "ValueError: 10" in line["exception"]
    assert "in fail" in line["exception"]
    assert CANARY not in line["exception"]


def test_it_writes_values_that_json_does_not_know(lines: Lines) -> None:
    logger.warning("odd", extra={"ratio": float("nan"), "when": {"a", "b"}, "what": object, "lone": "\ud800"})
    (line,) = lines()
    assert line["ratio"] == "nan"
    assert sorted(line["when"]) == ["a", "b"]


@pytest.mark.parametrize("name", ["urllib3.connectionpool", "hvac.adapters", "requests", "smpplib.client"])
def test_it_keeps_libraries_that_print_bodies_from_debugging(name: str) -> None:
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


def test_it_writes_a_commands_report_plainly_and_its_log_as_json(tmp_path: object) -> None:
    code = (
        "import logging; from config import logs; logs.configure({'level': 'DEBUG'});"
        "logging.getLogger('x').info('hello', extra={'password': 'canary'}); print('report')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "report\n"
    assert done.stderr.startswith('{"ts": "') and done.stderr.endswith("}\n")
    assert "canary" not in done.stderr


def test_it_is_readable_on_a_developers_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from config import logs

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("OPS_ENV", "development")
    formatter = logs.line_formatter()
    try:
        secret = CANARY
        raise ValueError(len(secret))
    except ValueError:
        record = logging.LogRecord("x", logging.INFO, "f", 1, "hello", None, sys.exc_info())
    text = formatter.format(record)
    assert "hello" in text and not text.startswith("{")
    assert "ValueError: 10" in text
    assert CANARY not in text
