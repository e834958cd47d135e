from __future__ import annotations

import asyncio
import os
import signal
import sys

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from operators import backlog
from operators.drain import Drainer

SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
            is_done = asyncio.run(_work(drainer, once=once))
        except psycopg.OperationalError:
            # Not the error's own text: it can quote the connection string.
            raise CommandError("The database does not answer.") from None
        if not is_done:
            sys.exit(1)


async def _work(drainer: Drainer, *, once: bool) -> bool:
    is_signalled = False

    def on_signal() -> None:
        nonlocal is_signalled
        if is_signalled:
            # Whoever asks twice does not want to wait for a server; dying here loses nothing.
            os._exit(1)
        is_signalled = True
        drainer.stop()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    if once:
        return await drainer.drain()
    await drainer.run()
    return True
