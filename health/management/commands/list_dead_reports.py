from __future__ import annotations

import asyncio
import json

from django.core.management.base import BaseCommand, CommandError, CommandParser
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from health.deadreports import DeadReport, dead_reports
from health.reports import DeadReason
from operators.wire import rfc3339


class Command(BaseCommand):
    help = "Show the messages that were no acceptable report, newest first: when, why, and how they begin."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", choices=[reason.value for reason in DeadReason], default="", help="only these")
        parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (default: 20)")
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object a line")

    def handle(self, *, reason: str, limit: int, as_json: bool, **options: object) -> None:
        if limit < 1:
            raise CommandError("--limit is at least 1.")
        try:
            found = asyncio.run(dead_reports(reason=reason, limit=limit))
        except NotFoundError:
            raise CommandError("There is no stream SMPP_HEALTH_DEAD; manage.py bootstrap makes it.") from None
        except (NatsError, OSError, TimeoutError):
            raise CommandError("The broker does not answer.") from None
        for report in found:
            self.stdout.write(json.dumps(report.as_json()) if as_json else _as_text(report))


def _as_text(report: DeadReport) -> str:
    where = f"{report.subject}, message {report.sequence}" if report.sequence else f"{report.subject}, over REST"
    why = f"{report.field}: {report.message}" if report.field else report.message
    return f"{rfc3339(report.stored_at)}  {report.reason}  {where}\n  {why}\n  {report.size} bytes: {report.start}"
