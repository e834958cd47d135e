from __future__ import annotations

import asyncio
import sys

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from nats.errors import Error as NatsError
from prometheus_client import start_http_server

from health import partitions
from health.consumer import Consumer
from health.lag import Lag
from health.pull import PullLost
from operators.worker import work


class Command(BaseCommand):
    help = "Take the connectors' reports in from JetStream; stays, unless --once is given."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="take in what is there, then end; 1 if something stays")
        parser.add_argument(
            "--without-clock",
            action="store_true",
            help="leave silence to the time of the next report, for a replay of old ones",
        )
        parser.add_argument("--batch", type=int, default=settings.HEALTH_BATCH, help="reports in one transaction")
        parser.add_argument("--metrics-port", type=int, default=settings.METRICS_PORT, help="0 turns it off")

    def handle(self, *, once: bool, without_clock: bool, batch: int, metrics_port: int, **options: object) -> None:
        if not 1 <= batch <= 5000:
            raise CommandError("--batch lies between 1 and 5000.")
        lag = Lag()
        if metrics_port and not once:
            lag.register()
            partitions.register()
            start_http_server(metrics_port, addr=settings.HOST)
        try:
            consumer = Consumer(batch=batch, with_clock=not without_clock, lag=lag)
            is_done = asyncio.run(work(consumer, once=once))
        except (OperationalError, InterfaceError):
            # Not the errors' own text: it can quote a connection string.
            raise CommandError("The database does not answer.") from None
        except (NatsError, OSError, TimeoutError, PullLost):
            raise CommandError("NATS does not answer.") from None
        if not is_done:
            self.stderr.write("Something stayed behind: another process leads, or this one was stopped.")
            sys.exit(1)
