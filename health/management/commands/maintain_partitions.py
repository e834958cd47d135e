"""Keep operator_health_log supplied with partitions, and drop those that are old enough."""

from __future__ import annotations

import json
import logging
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from health import maintenance
from health.maintenance import Maintenance, Outcome
from health.partitions import Supply, supply
from health.partman import NotPartitioned

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Make the log's partitions ahead, move the rows of the default partition to their days, vacuum finished days, "
        "and drop partitions older than HEALTH_LOG_RETENTION_DAYS. Safe to run again at any time. Exit code: 0 all "
        "well or another run is under way, 1 something is left for a person."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and change nothing")
        parser.add_argument(
            "--confirm-drop",
            type=int,
            metavar="N",
            help=f"drop exactly N partitions; without it a run drops {maintenance.MOST_DROPS} at most",
        )
        parser.add_argument("--keep-old", action="store_true", help="drop and discard nothing")
        parser.add_argument("--json", action="store_true", dest="is_json", help="print one JSON object")

    def handle(
        self, *, dry_run: bool, confirm_drop: int | None, keep_old: bool, is_json: bool, verbosity: int, **options: Any
    ) -> None:
        began = time.monotonic()
        work = Maintenance(
            now=timezone.now(),
            retention_days=settings.HEALTH_LOG_RETENTION_DAYS,
            premake_days=settings.HEALTH_LOG_PREMAKE_DAYS,
            confirmed_drops=confirm_drop,
            may_drop=not keep_old,
        )
        try:
            with maintenance.only_run():
                outcome = work.plan() if dry_run else work.run()
                with connection.cursor() as cursor:
                    left = supply(cursor)
        except maintenance.AnotherRunUnderWay:
            self.stdout.write("Another run is under way; nothing to do.")
            return
        except maintenance.LogBusy:
            raise CommandError("Others held the log locked all the time; what was done stays. Run it again.") from None
        except NotPartitioned:
            raise CommandError("pg_partman does not know operator_health_log; run `manage.py migrate`.") from None
        except (OperationalError, InterfaceError):
            raise CommandError("The database does not answer; what was done stays. Run it again.") from None
        facts = as_facts(outcome, left)
        logger.info(
            "partitions would be maintained" if dry_run else "partitions maintained",
            extra={"action": "maintain_partitions", "durationMs": round(1000 * (time.monotonic() - began)), **facts},
        )
        if is_json:
            self.stdout.write(json.dumps({"dryRun": dry_run, **facts}))
        elif verbosity:
            self.stdout.write("\n".join(as_lines(outcome, left)))
            if dry_run:
                self.stdout.write("Dry run: nothing was changed.")
        # With --keep-old, old strays stay where they are on purpose.
        is_left = left.is_short or (left.strays and not keep_old)
        if outcome.refused or (is_left and not dry_run):
            sys.exit(1)


def as_facts(outcome: Outcome, left: Supply) -> dict[str, Any]:
    return {
        "made": outcome.made,
        "moved": outcome.moved,
        "discarded": outcome.discarded,
        "vacuumed": outcome.vacuumed,
        "dropped": outcome.dropped,
        "refused": outcome.refused,
        "daysAhead": left.days_ahead,
        "strays": left.strays,
    }


def as_lines(outcome: Outcome, left: Supply) -> list[str]:
    days = settings.HEALTH_LOG_RETENTION_DAYS
    lines = [f"made: {listed(outcome.made)}", f"moved out of the default partition: {outcome.moved:,} rows"]
    if outcome.discarded:
        lines.append(f"discarded, older than {days} days: {outcome.discarded:,} rows")
    lines.append(f"vacuumed, for they are finished: {listed(outcome.vacuumed)}")
    lines.append(f"dropped, older than {days} days: {listed(outcome.dropped)}")
    if outcome.refused:
        count = len(outcome.refused)
        lines.append(
            f"NOT dropped: {count} partitions are older than {days} days: {listed(outcome.refused)}\n"
            f"If HEALTH_LOG_RETENTION_DAYS={days} is what you want, say so: --confirm-drop {count}"
        )
    lines.append(f"now: {left.days_ahead} days ahead, {left.strays:,} rows in the default partition")
    return lines


def listed(names: list[str]) -> str:
    if len(names) <= 2:
        return ", ".join(names) or "none"
    return f"{len(names)}, {names[0]} to {names[-1]}"
