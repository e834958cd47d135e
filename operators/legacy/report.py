"""Tell what became of every row: readable while it happens, and as JSON for whoever works through the rest."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

NAME_WIDTH = 36


@dataclass(frozen=True)
class ReportRow:
    """One row's outcome, with the field at fault and the reason; `warnings` are for the reader, not for the JSON."""

    line: int
    name: str
    outcome: str
    field: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def as_text(self) -> str:
        """Lay the row out for a terminal: fixed columns, then the reason, then each warning on a line of its own."""
        reason = f"{self.field}: {self.reason}" if self.field else self.reason
        text = f"{self.line:>6}  {self.outcome:<8} {_plain(self.name):<{NAME_WIDTH}} {_plain(reason, width=0)}".rstrip()
        return "\n".join([text, *(f"{'':>17}! {warning}" for warning in self.warnings)])


HEADING = f"{'LINE':>6}  {'OUTCOME':<8} {'OPERATOR':<{NAME_WIDTH}} REASON"


class Report:
    """Count outcomes and, where a path is given, keep the rows on disk until `write` makes a JSON file of them.

    A context manager: the path is tried on entry, so that a wrong one is known before the work begins (OSError). The
    file appears whole or not at all; until then an older one stays.
    """

    def __init__(self, *, outcomes: Sequence[str], path: Path | None) -> None:
        self.tally: Counter[str] = Counter(dict.fromkeys(outcomes, 0))
        self._path = path.resolve() if path else None
        self._draft: Path | None = None
        self._rows: IO[str] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            if self._path.is_dir():
                raise IsADirectoryError(f"{self._path} is a directory.")
            self._draft = self._path
            if self._path.is_file() or not self._path.exists():  # not a terminal, a pipe or /dev/null
                handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
                os.close(handle)
                self._draft = Path(name)
            self._rows = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._rows is not None:
            self._rows.close()
        if self._draft is not None and self._draft != self._path:
            self._draft.unlink(missing_ok=True)

    def add(self, row: ReportRow) -> None:
        self.tally[row.outcome] += 1
        if self._rows is not None:
            fields = {name: getattr(row, name) for name in ("line", "name", "outcome", "field", "reason")}
            self._rows.write(json.dumps(fields, ensure_ascii=False) + "\n")

    def write(self) -> None:
        """Put the JSON report in its place: the tally, then the rows in the sheet's order, one a line."""
        if self._path is None or self._draft is None or self._rows is None:
            return
        self._rows.seek(0)
        with self._draft.open("w", encoding="utf-8") as out:
            out.write(f'{{\n "tally": {json.dumps(dict(self.tally))},\n "rows": [')
            for number, row in enumerate(self._rows):
                out.write(f"{',' if number else ''}\n  {row.rstrip()}")
            out.write("\n ]\n}\n")
        if self._draft != self._path:
            # mkstemp leaves the file to its owner alone; a report is an ordinary file.
            umask = os.umask(0)
            os.umask(umask)
            self._draft.chmod(0o666 & ~umask)
            self._draft.replace(self._path)
            self._draft = None


def _plain(text: str, *, width: int = NAME_WIDTH) -> str:
    """Show no control characters to a terminal, and no more than `width` characters where it is given."""
    plain = "".join(char if char.isprintable() else "?" for char in text)
    return f"{plain[: width - 1]}…" if width and len(plain) > width else plain
