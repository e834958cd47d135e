from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from operators.errors import VaultUnavailable
from operators.reconcile import Finding, Found, Reconciler


class Command(BaseCommand):
    help = "Find and mend what a crash between Vault and the database left behind; never shows a password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be done")
        parser.add_argument(
            "--grace",
            type=float,
            default=3600,
            metavar="SECONDS",
            help="leave secrets and versions alone that are younger than this (default: 3600)",
        )
        parser.add_argument("--report", type=Path, metavar="FILE", help="write the findings as JSON")

    def handle(self, *, dry_run: bool, grace: float, report: Path | None, **options: Any) -> None:
        if grace < 0:
            raise CommandError("--grace is a number of seconds, at least 0.")
        reconciler = Reconciler(
            grace=timedelta(seconds=grace),
            retention=timedelta(days=settings.CREDENTIAL_RETENTION_DAYS),
            dry_run=dry_run,
        )
        by_finding: dict[Finding, list[Found]] = defaultdict(list)
        try:
            for found in reconciler.run():
                by_finding[found.finding].append(found)
        except VaultUnavailable as error:
            raise CommandError(f"Stopped after {reconciler.checked} operators: {error}", returncode=2) from None
        finally:
            self._print(by_finding, dry_run=dry_run)
            if report:
                report.write_text(json.dumps(_as_json(reconciler, by_finding, dry_run=dry_run), indent=2) + "\n")
        self.stdout.write(f"Checked {reconciler.checked} operators and secrets.")
        if reconciler.needs_person:
            raise CommandError("Some findings need a person; see docs/runbooks/VAULT_BOOTSTRAP.md.")

    def _print(self, by_finding: dict[Finding, list[Found]], *, dry_run: bool) -> None:
        for finding, all_found in sorted(by_finding.items(), key=lambda item: item[0].name):
            self.stdout.write(f"{finding} ({_outcome(finding, dry_run=dry_run)}): {len(all_found)}")
            for found in all_found:
                self.stdout.write(f"  {found.key}  {found.detail}")


def _outcome(finding: Finding, *, dry_run: bool) -> str:
    if finding.needs_person:
        return "needs a person"
    return "would be mended" if dry_run else "mended"


def _as_json(reconciler: Reconciler, by_finding: dict[Finding, list[Found]], *, dry_run: bool) -> dict[str, object]:
    return {
        "dryRun": dry_run,
        "checked": reconciler.checked,
        "tally": {finding.name: count for finding, count in reconciler.tally.items()},
        "findings": [
            {
                "finding": found.finding.name,
                "operatorId": found.key,
                "detail": found.detail,
                "outcome": _outcome(found.finding, dry_run=dry_run),
            }
            for all_found in by_finding.values()
            for found in all_found
        ],
    }
