"""Write the audit trail as JSON lines, with what `verify_audit --file` needs to check it without a database."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from operators.chain import CHAINS, GENESIS
from operators.moments import in_utc
from operators.trail import FORMAT, Selection, export_line, stored_rows
from operators.wire import rfc3339


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--chain", choices=sorted(CHAINS), help="write this one alone")
        parser.add_argument("--from", dest="since", metavar="MOMENT", help="a date, or a moment as RFC 3339")
        parser.add_argument("--to", dest="until", metavar="MOMENT", help="up to, and without, this moment")
        parser.add_argument("--operator", metavar="UUID", help="what concerns this operator alone")
        parser.add_argument("--output", type=Path, metavar="FILE", help="a new file, for its owner only; else stdout")

    def handle(
        self,
        *,
        chain: str | None,
        since: str | None,
        until: str | None,
        operator: str | None,
        output: Path | None,
        **_: Any,
    ) -> None:
        selection = Selection(_moment("--from", since), _moment("--to", until), _uuid(operator))
        names = [chain] if chain else list(CHAINS)
        try:
            if output is None:
                self._write(self.stdout.write, names, selection)
            else:
                with os.fdopen(
                    os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
                ) as to:
                    self._write(to.write, names, selection)
        except DatabaseError as error:
            raise CommandError(f"The database cannot be read: {type(error).__name__}.", returncode=2) from None
        except FileExistsError:
            raise CommandError(f"{output} is there already.", returncode=2) from None
        except OSError as error:
            raise CommandError(f"{output or 'stdout'} cannot be written: {error.strerror}.", returncode=2) from None

    def _write(self, put: Callable[[str], object], names: list[str], selection: Selection) -> None:
        header = {
            "format": FORMAT,
            "chains": names,
            "selection": selection.as_json(),
            "exportedAt": rfc3339(timezone.now()),
        }
        put(json.dumps({"export": header}) + "\n")
        end = {}
        for name in names:
            rows, head = 0, f"0:{GENESIS}"
            for row in stored_rows(CHAINS[name], selection):
                put(export_line(CHAINS[name], row) + "\n")
                rows, head = rows + 1, f"{row['sequence']}:{row['hash']}"
            end[name] = {"rows": rows, "head": head}
        # A file without this line was cut off.
        put(json.dumps({"end": end}) + "\n")


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if day := parse_date(text):
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        if (moment := parse_datetime(text)) and timezone.is_aware(moment):
            return in_utc(moment)
    except ValueError:
        pass  # said below
    raise CommandError(f"{option} is a date, or a moment with its offset such as 2026-11-01T00:00:00Z.", returncode=2)


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise CommandError("--operator is a UUID.", returncode=2) from None
