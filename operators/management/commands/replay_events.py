from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime
from nats.errors import Error as NatsError

from operators.moments import in_utc
from operators.replay import Selection, replay


def timestamp(text: str) -> datetime:
    """Read an ISO 8601 time; without an offset it is UTC."""
    parsed = parse_datetime(text)
    if parsed is None:
        raise ValueError(text)
    return in_utc(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))


class Command(BaseCommand):
    help = "Make stored events pending again, so that the drainer publishes them once more, in order."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--operator", type=UUID, action="append", default=[], help="an operator's id; repeatable")
        parser.add_argument("--from", type=timestamp, dest="since", help="events written at this time or later")
        parser.add_argument("--to", type=timestamp, dest="until", help="events written before this time")
        parser.add_argument("--parked", action="store_true", help="events set aside, instead of published ones")
        parser.add_argument("--missing-only", action="store_true", help="only what the stream no longer holds")
        parser.add_argument("--dry-run", action="store_true", help="count, and change nothing")

    def handle(
        self,
        *,
        operator: list[UUID],
        since: datetime | None,
        until: datetime | None,
        parked: bool,
        missing_only: bool,
        dry_run: bool,
        **options: object,
    ) -> None:
        if parked and missing_only:
            raise CommandError("--missing-only is about published events; parked ones never reached the stream.")
        selection = Selection(operators=operator, since=since, until=until, parked=parked, missing_only=missing_only)
        if selection.is_empty:
            raise CommandError("Select something: --operator, --from, --to or --parked.")
        try:
            tally = replay(selection, dry_run=dry_run)
        except (NatsError, OSError, TimeoutError):
            raise CommandError("The broker does not answer, so nobody can say what it lost; run this again.") from None
        self.stdout.write(f"{tally.matched} matched")
        if missing_only:
            self.stdout.write(f"{tally.held} still in the stream, {tally.aged_out} older than the stream keeps")
        self.stdout.write(f"{tally.replayed} {'would be' if dry_run else 'are'} published again")
