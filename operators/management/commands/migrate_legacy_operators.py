"""Bring the spreadsheet's operators and LastPass's passwords into the system of record, or take a run back."""

from __future__ import annotations

import logging
import shlex
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from operators.errors import VaultUnavailable
from operators.legacy import rollback
from operators.legacy.lastpass import Keyring, read_export
from operators.legacy.lines import UnusableFile
from operators.legacy.migration import AnotherRunUnderWay, Migration, begin_run, only_run
from operators.legacy.report import HEADING, Report, ReportRow
from operators.legacy.sheet import Sheet
from operators.models import LegacyRun, RowOutcome

PROGRESS_SECONDS = 2.0
ROWS_LEFT, UNUSABLE, STOPPED = 1, 2, 3


class Command(BaseCommand):
    help = (
        "Create operators from the carrier-relations spreadsheet (CSV), with the passwords of LastPass's export. "
        "Safe to run again: what is there is skipped. Exit code: 0 all well, 1 rows failed or were kept, "
        "2 unusable input, 3 stopped before the end (run it again)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("sheet", nargs="?", metavar="SHEET", type=Path, help="the spreadsheet as CSV, UTF-8")
        parser.add_argument("--credentials", metavar="EXPORT", type=Path, help="LastPass's CSV export")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and change nothing")
        parser.add_argument("--report", metavar="FILE", type=Path, help="write the row-by-row report as JSON too")
        parser.add_argument(
            "--rollback", metavar="RUN_ID", help="delete what this run created and nobody changed since"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        export: Path | None = options["credentials"]
        if isinstance(sys.stdout, TextIOWrapper):
            # A name that the terminal cannot show is no reason to stop half-way.
            sys.stdout.reconfigure(errors="replace")
        if sys.stderr.isatty():
            # The report tells a person of every row; the log's line for each would only tear it apart.
            logging.getLogger("operators.actions").setLevel(logging.WARNING)
        try:
            self._run(**options)
        except UnusableFile as error:
            raise CommandError(str(error), returncode=UNUSABLE) from None
        except OSError as error:
            raise CommandError(
                f"{error.filename or 'output'}: {error.strerror or error}", returncode=UNUSABLE
            ) from None
        except AnotherRunUnderWay:
            raise CommandError(
                "Another migration or rollback is under way; try again later.", returncode=STOPPED
            ) from None
        finally:
            if export is not None:
                self._remind(export)

    def _run(self, **options: Any) -> None:
        is_rollback = options["rollback"] is not None
        outcomes = rollback.OUTCOMES if is_rollback else RowOutcome.values
        with Report(outcomes=outcomes, path=options["report"]) as report:
            try:
                if is_rollback:
                    self._roll_back(options["rollback"], report, dry_run=options["dry_run"])
                else:
                    self._migrate(options["sheet"], options["credentials"], report, dry_run=options["dry_run"])
            except VaultUnavailable as error:
                self._stopped(report, f"At the row under way: {error}")
            except (OperationalError, InterfaceError):
                self._stopped(report, "The database does not answer.")
        left = rollback.KEPT if is_rollback else RowOutcome.FAILED.value
        if report.tally[left]:
            sys.exit(ROWS_LEFT)

    def _migrate(self, path: Path | None, export: Path | None, report: Report, *, dry_run: bool) -> None:
        if path is None or export is None:
            raise CommandError("Give the SHEET and, with --credentials, LastPass's EXPORT.", returncode=UNUSABLE)
        keyring = self._read_export(export)
        with ExitStack() as stack:
            stream = stack.enter_context(rereadable(path))
            total = self._survey(stream)
            run = None
            if not dry_run:
                stack.enter_context(only_run())
                run = begin_run(path.name)
                self._say(f"Run {run.id}")
            migration = Migration(keyring=keyring, run=run)
            rows = (migration.take(row) for row in Sheet(stream))
            self._go_through(rows, report, total=total)
            migration.finish()
        self._conclude(report)
        if run is None:
            self.stdout.write("Dry run: nothing was changed.")
        else:
            self.stdout.write(f"Run {run.id}; to undo it: manage.py migrate_legacy_operators --rollback {run.id}")

    def _roll_back(self, text: str, report: Report, *, dry_run: bool) -> None:
        try:
            run = LegacyRun.objects.get(id=UUID(text.strip()))
        except (ValueError, LegacyRun.DoesNotExist):
            raise CommandError("There is no run with this id; the console lists them.", returncode=UNUSABLE) from None
        with only_run():
            undo = rollback.Rollback(run=run, dry_run=dry_run)
            self._go_through(iter(undo), report, total=0)
            undo.finish()
        self._conclude(report)
        if dry_run:
            self.stdout.write("Dry run: nothing was changed.")

    def _read_export(self, path: Path) -> Keyring:
        with path.open("rb") as stream:
            if path.is_file() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                self._say(f"Warning: other users of this machine may read {path}; run: chmod 600 {path}")
            return read_export(stream)

    def _survey(self, stream: BinaryIO) -> int:
        """Read the whole sheet once before anything is created, so that an unreadable one creates nothing."""
        sheet = Sheet(stream)
        if sheet.missing:
            self._say(f"Note: the sheet has no column {', '.join(sheet.missing)}; the defaults apply.")
        if sheet.ignored:
            self._say(f"Note: columns that mean nothing here: {', '.join(sheet.ignored)}.")
        total = sum(1 for _ in sheet)
        stream.seek(0)
        return total

    def _go_through(self, rows: Iterator[ReportRow], report: Report, *, total: int) -> None:
        self.stdout.write(HEADING)
        told_at = time.monotonic()
        with stop_requests() as stop:
            for number, row in enumerate(rows, start=1):
                report.add(row)
                self.stdout.write(row.as_text())
                if time.monotonic() - told_at >= PROGRESS_SECONDS:
                    told_at = time.monotonic()
                    self._say(f"{number:,}{f' of {total:,}' if total else ''} rows")
                if stop.is_set():
                    self._stopped(report, "Stopped on request.")

    def _stopped(self, report: Report, why: str) -> None:
        self._conclude(report)
        raise CommandError(
            f"{why} Stopped before the end; what earlier rows did stays. Run the same command again to carry on.",
            returncode=STOPPED,
        )

    def _conclude(self, report: Report) -> None:
        report.write()
        self.stdout.write("\n" + ", ".join(f"{count:,} {outcome}" for outcome, count in report.tally.items()))

    def _remind(self, export: Path) -> None:
        way = f"\n  shred -u {shlex.quote(str(export))}" if export.is_file() else ""
        self.stdout.write(
            "\nThe export holds every password in plain text. Destroy it as soon as the migration is done:"
            f"{way}\nand empty the downloads folder, the bin and any backup that has a copy."
        )

    def _say(self, text: str) -> None:
        self.stderr.write(text, style_func=str)


@contextmanager
def rereadable(path: Path) -> Iterator[BinaryIO]:
    """Open a file that will be read twice; what cannot be rewound, such as a pipe, is copied first."""
    with path.open("rb") as stream:
        if stream.seekable():
            yield stream
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            copy.seek(0)
            yield copy


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Turn the first SIGTERM or SIGINT into an event that is looked at between two rows; the second exits 1."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(1)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
