"""JSON logs: one object a line on stderr, with the ids of request and trace, and no secrets."""

from __future__ import annotations

import json
import logging.config
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from opentelemetry import trace

from config.env import process_name
from config.redaction import redact

Event = MutableMapping[str, Any]

SERVICE: Final = "operator-management-service"
ENCODE: Final = json.JSONEncoder().encode
# Set by the processors below alone, whatever the caller says, or no text yet.
OURS: Final = frozenset({"ts", "level", "logger", "service", "process", "exc_info"})
LEADING: Final = ("ts", "level", "message", "event", "logger", "action", "operatorId", "adminId")
# At DEBUG these print whole requests: bodies, tokens, the SMPP bind's bytes.
LOWEST_LEVELS: Final = {"urllib3": "WARNING", "requests": "WARNING", "hvac": "INFO", "smpplib": "INFO"}
# Django's and gunicorn's loggers bring handlers of their own; the root's is enough.
THROUGH_ROOT: Final = ("django", "django.server", "gunicorn.error")
OUTAGE: Final = "outage: %s"
# What the access line of config.middleware says already, query string and traceback left out.
SAID_ELSEWHERE: Final = {
    "django.request": "ERROR",
    "django.security.DisallowedHost": "CRITICAL",
    "axes": "ERROR",  # config.lockouts tells of every log-in
}


def configure(config: dict[str, Any]) -> None:
    """Set up every logger of the process; Django calls it with settings.LOGGING."""
    logging.config.dictConfig(dict_config(config.get("level", "INFO")))
    # No line of ours tells from where in the code, or from which thread: finding out takes as long as writing it
    # (Python's logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    structlog.configure(
        processors=[*described(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def dict_config(level: str) -> dict[str, Any]:
    """Build the dictConfig that gunicorn's master uses too, before there are Django settings."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": line_formatter}},
        "filters": {"outages": {"()": OutagesAreShort}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "line",
                "filters": ["outages"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            **{name: {"level": lowest} for name, lowest in (LOWEST_LEVELS | SAID_ELSEWHERE).items()},
            **{name: {"handlers": [], "propagate": True, "level": level} for name in THROUGH_ROOT},
        },
    }


def line_formatter() -> logging.Formatter:
    return LineFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), drop_request, *described()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered()],
    )


def described() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        Origin(),
    ]


def rendered() -> list[Any]:
    if sys.stderr.isatty() and os.environ.get("OPS_ENV") == "development":
        # The default formatter prints local variables.
        console = structlog.dev.ConsoleRenderer(
            timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
        return [redact_event, console]
    return [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        redact_event,
        as_json,
    ]


class LineFormatter(structlog.stdlib.ProcessorFormatter):
    """Write an event of structlog's without the two copies of its record that are made for formatters beside this."""

    def format(self, record: logging.LogRecord) -> str:
        made: Any = record.__dict__
        if "_logger" not in made or not isinstance(made["msg"], dict):
            return super().format(record)
        event: Any = made["msg"] | {"_record": record, "_from_structlog": True}
        for processor in self.processors:
            event = processor(made["_logger"], made["_name"], event)
        return str(event)


class Origin:
    """Add which service and process speaks, and the ids of the current span."""

    def __init__(self) -> None:
        self._process = process_name()

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        event["service"] = SERVICE
        event["process"] = self._process
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            event.setdefault("traceId", format(context.trace_id, "032x"))
            event.setdefault("spanId", format(context.span_id, "016x"))
        return event


def drop_request(_logger: Any, _method: str, event: Event) -> Event:
    """Leave out the request that Django adds to its records: it prints with its query string."""
    event.pop("request", None)
    return event


def redact_event(_logger: Any, _method: str, event: Event) -> Event:
    """Mask secrets, and put first what people read first."""
    ordered = {key: event.pop(key) for key in LEADING if key in event} | dict(event)
    return {key: value if key in OURS else redact(value, key) for key, value in ordered.items()}


def as_json(_logger: Any, _method: str, event: Event) -> str:
    return ENCODE(event)


class OutagesAreShort(logging.Filter):
    """Turn the traceback of each request that met an outage into one line: a store away for an hour fills no disk."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != "django.request" or record.msg == OUTAGE:
            return True  # not ours to judge, or shortened by another handler's filter
        if record.exc_info is None or (error := record.exc_info[1]) is None:
            return False  # no bug, only a status such as 503: the access line has it
        from config.outages import is_outage, reason  # needs Django's settings, which gunicorn's master has not

        if is_outage(error):
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args = OUTAGE, (reason(error),)
        return True
