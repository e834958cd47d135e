"""Load what the phonenumbers package knows of countries and carriers into the destination prefixes."""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from routing.prefixes import SOURCE, Outcome, load_reference

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = f"{__doc__} Rows that staff made or changed stay as they are. Safe to run again at any time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and change nothing")

    def handle(self, *, dry_run: bool, verbosity: int, **options: Any) -> None:
        began = time.monotonic()
        try:
            outcome = load_reference(dry_run=dry_run)
        except (OperationalError, InterfaceError):
            raise CommandError("The database does not answer; nothing was changed. Run it again.") from None
        logger.info(
            "destination prefixes would be loaded" if dry_run else "destination prefixes loaded",
            extra={
                "action": "load_destination_prefixes",
                "durationMs": round(1000 * (time.monotonic() - began)),
                "inserted": outcome.inserted,
                "updated": outcome.updated,
                "deleted": outcome.deleted,
                "kept": outcome.kept,
            },
        )
        if verbosity:
            self.stdout.write("\n".join(as_lines(outcome)))
            if dry_run:
                self.stdout.write("Dry run: nothing was changed.")


def as_lines(outcome: Outcome) -> list[str]:
    lines = [f"{SOURCE}: {outcome.known:,} prefixes"]
    if outcome.is_nothing:
        lines.append("nothing to change")
    else:
        lines.append(f"inserted {outcome.inserted:,}, updated {outcome.updated:,}, deleted {outcome.deleted:,}")
    if outcome.kept:
        lines.append(f"left as staff made them: {outcome.kept:,}")
    return lines
