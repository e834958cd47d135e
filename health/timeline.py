"""The measured state over time, put together from its moves. Knows no database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from health.reducer import State


@dataclass(frozen=True, slots=True)
class Span:
    start: datetime
    end: datetime
    state: State

    @property
    def length(self) -> timedelta:
        return self.end - self.start


def spans(moves: Iterable[tuple[datetime, State]], *, before: State, start: datetime, end: datetime) -> list[Span]:
    """Cut the time from `start` to `end` where the state moved; `before` is the state at `start`.

    Moves come in the order in which they were decided. One may be dated before its predecessor: a report that came only
    after the clock had called the operator silent takes that silence back from its own moment on.
    """
    marks = [(start, before)]
    for at, state in moves:
        at = max(at, start)
        while marks and marks[-1][0] >= at:
            marks.pop()
        if not marks or marks[-1][1] is not state:
            marks.append((at, state))
    ends = [*(at for at, _ in marks[1:]), end]
    return [Span(at, min(until, end), state) for (at, state), until in zip(marks, ends, strict=True) if at < end]


def clip(whole: Sequence[Span], *, start: datetime, end: datetime) -> list[Span]:
    """Keep what of the spans lies between two moments."""
    return [
        each
        if start <= each.start and each.end <= end
        else Span(max(each.start, start), min(each.end, end), each.state)
        for each in whole
        if max(each.start, start) < min(each.end, end)
    ]
