from __future__ import annotations

import asyncio
import sys

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from operators import backlog
from operators.drain import Drainer
from operators.worker import work


class Command(BaseCommand):
    help = "Publish the outbox's events to JetStream; stays, unless --once is given."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="publish what is there, then end; 1 if something stays")
        parser.add_argument("--batch", type=int, default=settings.OUTBOX_BATCH, help="events in flight at a time")
        parser.add_argument("--metrics-port", type=int, default=settings.METRICS_PORT, help="0 turns it off")

    def handle(self, *, once: bool, batch: int, metrics_port: int, **options: object) -> None:
        if not 1 <= batch <= 5000:
            raise CommandError("--batch lies between 1 and 5000.")
        if metrics_port and not once:
            backlog.register()
            start_http_server(metrics_port, addr=settings.HOST)
        drainer = Drainer(batch=batch, max_attempts=settings.OUTBOX_MAX_ATTEMPTS)
        try:
            is_done = asyncio.run(work(drainer, once=once))
        except psycopg.OperationalError:
            # Not the error's own text: it can quote the connection string.
            raise CommandError("The database does not answer.") from None
        if not is_done:
            sys.exit(1)
