"""Check that nobody has changed the audit trail; exits 1 with the first broken link, 2 when it cannot tell."""

from __future__ import annotations

import json
import logging
import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from operators.chain import CHAINS
from operators.verification import Break, Head, Walk, check_guards, walk_file, walk_stored

logger = logging.getLogger(__name__)

_HEAD: Final = re.compile(rf"(?:({'|'.join(CHAINS)}):)?([0-9]{{1,18}}):([0-9a-f]{{64}})")


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--chain", choices=sorted(CHAINS), help="check this one alone")
        parser.add_argument(
            "--expect-head",
            action="append",
            default=[],
            metavar="[CHAIN:]SEQ:HASH",
            help="a head that an earlier run printed: notices a cut tail and a chain made anew; once per chain",
        )
        parser.add_argument("--file", type=Path, help="check an export of export_audit instead; needs no database")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(
        self, *, chain: str | None, expect_head: list[str], file: Path | None, json: bool, verbosity: int, **_: Any
    ) -> None:
        names = [chain] if chain else list(CHAINS)
        expected = dict(_expected(text, names) for text in expect_head)
        self._is_quiet = verbosity < 1
        walks, breaks = self._check_file(file, expected) if file else self._check_stored(names, expected)
        self._tell(walks, breaks, as_json=json)
        if breaks:
            raise CommandError("The audit trail is broken; see docs/runbooks/AUDIT_CHAIN.md.", returncode=1)

    def _check_stored(self, names: list[str], expected: dict[str, Head]) -> tuple[list[Walk], list[Break]]:
        walks = [Walk(CHAINS[name], expected=expected.get(name)) for name in names]
        breaks: list[Break] = []
        try:
            for walk in walks:
                breaks += check_guards(walk.chain)
                if found := walk_stored(walk, self._progress):
                    breaks.append(found)
        except DatabaseError as error:
            raise CommandError(f"The database cannot be read: {type(error).__name__}.", returncode=2) from None
        return walks, breaks

    def _check_file(self, file: Path, expected: dict[str, Head]) -> tuple[list[Walk], list[Break]]:
        try:
            with file.open(encoding="utf-8") as lines:
                walks, found = walk_file(lines, expected, self._progress)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.", returncode=2) from None
        absent = expected.keys() - {walk.chain.name for walk in walks}
        if absent and not found:
            raise CommandError(f"The file does not hold the chain {', '.join(sorted(absent))}.", returncode=2)
        return walks, [found] if found else []

    def _progress(self, rows: int) -> None:
        if not self._is_quiet:
            self.stderr.write(f"{rows} rows so far")

    def _tell(self, walks: list[Walk], breaks: list[Break], *, as_json: bool) -> None:
        for walk in walks:
            is_whole = not any(found.chain == walk.chain.name for found in breaks)
            told = {"chain": walk.chain.name, "rows": walk.rows, "head": str(walk.head), "isWhole": is_whole}
            logger.info("audit chain checked", extra={"action": "verify_audit", **told})
            if not as_json and is_whole and not self._is_quiet:
                self.stdout.write(f"{walk.chain.name}: {walk.rows} rows hold, head {walk.head}")
        for found in breaks:
            logger.error("audit chain broken", extra={"action": "verify_audit", **found.as_json()})
            if not as_json:
                self.stdout.write(str(found))
        if as_json:
            self.stdout.write(json.dumps(_as_json(walks, breaks), indent=2))


def _expected(text: str, names: list[str]) -> tuple[str, Head]:
    match = _HEAD.fullmatch(text)
    name = (match[1] or (names[0] if len(names) == 1 else None)) if match else None
    if match is None or name not in names:
        raise CommandError(
            f"--expect-head is CHAIN:SEQ:HASH, with a chain that is checked ({', '.join(names)}).", returncode=2
        )
    return name, Head(int(match[2]), match[3])


def _as_json(walks: list[Walk], breaks: list[Break]) -> dict[str, object]:
    return {
        "isWhole": not breaks,
        "chains": [
            {
                "chain": walk.chain.name,
                "rows": walk.rows,
                "head": {"sequence": walk.head.sequence, "hash": walk.head.hash},
            }
            for walk in walks
        ],
        "breaks": [found.as_json() for found in breaks],
    }
