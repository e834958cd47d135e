"""JSON logs: one object a line on stderr, with the request's and the trace's ids and no secrets."""

from __future__ import annotations

import logging.config
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry import trace

from config.redaction import redact

Event = MutableMapping[str, Any]
# At DEBUG these print whole requests: bodies, tokens, the SMPP bind's bytes.
QUIET = {"urllib3": "WARNING", "requests": "WARNING", "hvac": "INFO", "smpplib": "INFO", "http.client": "WARNING"}


def configure(config: dict[str, Any]) -> None:
    """Set up every logger of the process; Django calls it with settings.LOGGING."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"structured": {"()": formatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": config.get("level", "INFO")},
            "loggers": {
                "django.server": {"level": "INFO"},
                # The access line of config.middleware tells more; the traceback comes from django.request.
                **{name: {"level": level} for name, level in QUIET.items()},
            },
        }
    )
    structlog.configure(
        processors=[*shared_processors(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared_processors(), structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact_event,
            renderer(),
        ],
    )


def shared_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        add_origin,
    ]


def renderer() -> Any:
    if sys.stderr.isatty() and os.environ.get("OPS_ENV") == "development":
        return structlog.dev.ConsoleRenderer(event_key="event", timestamp_key="ts")
    return structlog.processors.JSONRenderer(default=str)


def add_origin(_logger: Any, _method: str, event: Event) -> Event:
    """Add which service and process speaks, and the ids of the current span."""
    from django.conf import settings

    event["service"] = settings.SERVICE_NAME
    event["process"] = settings.PROCESS_NAME
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["traceId"] = format(context.trace_id, "032x")
        event["spanId"] = format(context.span_id, "016x")
    return event


def redact_event(_logger: Any, _method: str, event: Event) -> Event:
    return {key: redact(value, key) for key, value in event.items()}
