"""What a scenario measures, and how it is printed."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One line of the table; `is_met` is None where there is nothing to reach."""

    what: str
    measured: str
    target: str = ""
    is_met: bool | None = None


def progress(text: str) -> None:
    """Show that the bench is alive, beside the table."""
    print(f"  {text}", file=sys.stderr, flush=True)


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Write median (lowest-highest)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def table(results: Iterable[Result]) -> str:
    rows = [("", "measured", "target", "")]
    rows += [(each.what, each.measured, each.target, _VERDICTS[each.is_met]) for each in results]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


_VERDICTS = {True: "met", False: "MISSED", None: ""}
