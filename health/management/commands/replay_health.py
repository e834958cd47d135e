from __future__ import annotations

import asyncio
import math
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import APIError, NotFoundError

from health.replay import BadLine, Recording, Replay, read
from operators.wire import rfc3339


def days(text: str) -> int | None:
    """Read a number of days, or auto (None)."""
    return {"auto": None, "none": 0}[text] if text in ("auto", "none") else int(text)


def factor(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(text)
    return number


class Command(BaseCommand):
    help = (
        "Publish a file of reports to the stream, in its order: NDJSON, each line a report whose operator is given as "
        "operatorId or, by name, as operator. The file is checked as a whole before anything is published. Where "
        "ingest runs with --without-clock, silence is judged by the times in the file alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="- reads from standard input")
        parser.add_argument(
            "--speed", type=factor, default=0, metavar="N", help="N times as fast as it was; 0, as fast as it goes"
        )
        parser.add_argument(
            "--shift-days",
            type=days,
            default="auto",
            metavar="auto|N|none",
            help="move observedAt by whole days; auto: as far as leaves nothing in the future",
        )

    def handle(self, *, file: str, speed: float, shift_days: int | None, **options: object) -> None:
        recording = _read(file)
        if recording.oldest is None or recording.newest is None:
            self.stdout.write("0 reports published")
            return
        try:
            shift = recording.whole_days_until(timezone.now()) if shift_days is None else timedelta(days=shift_days)
            first, last = rfc3339(recording.oldest + shift), rfc3339(recording.newest + shift)
        except OverflowError:
            raise CommandError("The shift leads out of the calendar; nothing was published.") from None
        replay = Replay(recording, shift=shift, speed=speed)
        try:
            asyncio.run(replay.run())
        except NotFoundError:
            raise CommandError("There is no stream SMPP_HEALTH; manage.py bootstrap makes it.") from None
        except APIError as error:
            raise CommandError(f"The broker refuses: {error.description}; {_so_far(replay, recording)}") from None
        except MaxPayloadError:
            raise CommandError(f"A report is larger than the broker takes; {_so_far(replay, recording)}") from None
        except (NatsError, OSError, TimeoutError):
            raise CommandError(f"The broker does not answer; {_so_far(replay, recording)}") from None
        self.stdout.write(f"{replay.published} reports of {recording.operators} operators published")
        self.stdout.write(f"observed from {first} to {last}, shifted by {shift.days} days")


def _read(file: str) -> Recording:
    try:
        with _opened(file) as lines:
            return read(lines)
    except BadLine as bad:
        raise CommandError(f"{bad} Nothing was published.") from None
    except (OperationalError, InterfaceError):
        # Not the error's own text: it can quote the connection string.
        raise CommandError("The database does not answer.") from None
    except OSError as error:
        raise CommandError(f"Cannot read the file: {error.strerror}.") from None


def _opened(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb")


def _so_far(replay: Replay, recording: Recording) -> str:
    return f"{replay.published} of {len(recording.lines)} reports are published."
