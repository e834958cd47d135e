"""Import an operator's rate sheet, look at what it would do, or take an import back."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from operators.actors import command_actor
from operators.errors import OperatorError
from operators.management.commands.migrate_legacy_operators import stop_requests
from operators.models import Operator
from operators.moments import in_utc
from routing.errors import RateChangeUnconfirmed, RateSheetNotFound
from routing.imports.applying import apply_sheet
from routing.imports.options import SheetOptions
from routing.imports.preview import trial
from routing.imports.report import as_document, in_words
from routing.imports.undoing import undo_sheet
from routing.models import LineKind, RateSheet
from routing.ratesheets.limits import MOST_BYTES

PROGRESS_SECONDS: Final = 2.0
REJECTED, UNUSABLE, STOPPED = 1, 2, 3


class Stopped(Exception):
    """Somebody asked to stop while the file was read; nothing has been changed."""


class Command(BaseCommand):
    help = (
        "Import a carrier's prices from CSV or XLSX: all lines that are valid, in one transaction. "
        "Exit code: 0 all well, 1 lines were rejected and the rest applied, 2 unusable input, unknown operator or "
        "unconfirmed changes, 3 stopped or the database is away; with 2 and 3 nothing was changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("operator", nargs="?", metavar="OPERATOR", help="its id, or its whole name")
        parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help="the rate sheet, CSV or XLSX")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and change nothing")
        parser.add_argument("--report", metavar="FILE", type=Path, help="write the figures and rejected lines as JSON")
        parser.add_argument("--full", action="store_true", help="end every price that the sheet does not name")
        parser.add_argument("--currency", default="", help="of lines that name none (ISO 4217)")
        parser.add_argument("--effective-from", metavar="DATE", type=moment, help="of lines without a date, in UTC")
        parser.add_argument(
            "--confirm-large-changes", action="store_true", help="apply also changes above the guard's percentage"
        )
        parser.add_argument("--undo", metavar="SHEET_ID", help="take this import back instead")

    def handle(self, *args: Any, **options: Any) -> None:
        if isinstance(sys.stdout, TextIOWrapper):
            # A name that the terminal cannot show is no reason to stop half-way.
            sys.stdout.reconfigure(errors="replace")
        if sys.stderr.isatty():
            logging.getLogger("routing.imports.steps").setLevel(logging.WARNING)
        try:
            if options["undo"] is not None:
                self._undo(options["undo"])
            else:
                self._import(**options)
        except OperatorError as error:
            raise CommandError(str(error), returncode=UNUSABLE) from None
        except OSError as error:
            raise CommandError(
                f"{error.filename or 'output'}: {error.strerror or error}", returncode=UNUSABLE
            ) from None
        except Stopped:
            raise CommandError("Stopped on request; nothing was changed.", returncode=STOPPED) from None
        except (OperationalError, InterfaceError):
            raise CommandError(
                "The database does not answer. Unless it was lost in the very moment of the commit, nothing was "
                "changed; a dry run shows.",
                returncode=STOPPED,
            ) from None

    def _import(self, **options: Any) -> None:
        path, report = options["file"], options["report"]
        if path is None:
            raise CommandError("Give the OPERATOR and the FILE.", returncode=UNUSABLE)
        operator = find_operator(options["operator"])
        if report is not None:
            # A path that cannot be written is told before anything is done.
            report.open("a").close()
        with path.open("rb") as stream:
            # One byte more than is taken is enough to refuse it.
            content = stream.read(MOST_BYTES + 1)
        choices = SheetOptions(
            currency=options["currency"].upper(), effective_from=options["effective_from"], is_full=options["full"]
        )
        with (
            stop_requests() as stop,
            trial(
                actor=command_actor("import"),
                operator_id=operator.pk,
                filename=path.name,
                content=content,
                options=choices,
                on_progress=self._listener(stop),
            ) as sheet,
        ):
            refusal: OperatorError | None = None
            if not options["dry_run"]:
                self._say(f"{sheet.total:,} lines read; applying")
                try:
                    sheet = apply_sheet(
                        actor=command_actor("import"),
                        sheet_id=sheet.pk,
                        confirm_large_changes=options["confirm_large_changes"],
                    )
                except OperatorError as error:
                    refusal = error
            self.stdout.write("\n".join(in_words(sheet)))
            if report is not None:
                document = as_document(sheet, operator=operator.name, is_dry_run=options["dry_run"], refusal=refusal)
                report.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        self._conclude(sheet, refusal, is_dry_run=options["dry_run"])

    def _conclude(self, sheet: RateSheet, refusal: OperatorError | None, *, is_dry_run: bool) -> None:
        if isinstance(refusal, RateChangeUnconfirmed):
            raise CommandError(f"{refusal} (--confirm-large-changes)", returncode=UNUSABLE)
        if refusal is not None:
            raise refusal
        if is_dry_run:
            self.stdout.write("Dry run: nothing was changed.")
        else:
            self.stdout.write(
                f"Applied: the operator is at version {sheet.applied_version}; to undo it: "
                f"manage.py import_rate_sheet --undo {sheet.pk}"
            )
        if sheet.kinds()[LineKind.REJECTED]:
            sys.exit(REJECTED)

    def _undo(self, text: str) -> None:
        try:
            sheet_id = UUID(text.strip())
        except ValueError:
            raise RateSheetNotFound from None
        sheet = undo_sheet(actor=command_actor("import"), sheet_id=sheet_id)
        self.stdout.write(
            f"Undone: {sheet.counts['made']:,} prices deleted, {sheet.counts['touched']:,} restored "
            f"({sheet.operator.name}, {sheet.filename})."
        )

    def _listener(self, stop: threading.Event) -> Any:
        told_at = time.monotonic()

        def listen(count: int) -> None:
            nonlocal told_at
            if stop.is_set():
                raise Stopped
            if time.monotonic() - told_at >= PROGRESS_SECONDS:
                told_at = time.monotonic()
                self._say(f"{count:,} lines read")

        return listen

    def _say(self, text: str) -> None:
        self.stderr.write(text, style_func=str)


def find_operator(text: str) -> Operator:
    """Find an operator that is not deleted by its id or its whole name, whatever the case."""
    try:
        return Operator.objects.find(UUID(text))
    except ValueError:
        found = Operator.objects.same_name(text.strip()).first()
    if found is None:
        raise CommandError(f"There is no operator called {text!r}.", returncode=UNUSABLE)
    return found


def moment(text: str) -> datetime:
    """Read 2026-12-01 or 2026-12-01T06:00:00Z; without an offset it is UTC."""
    value = datetime.fromisoformat(text)
    return in_utc(value if value.tzinfo else value.replace(tzinfo=UTC))
