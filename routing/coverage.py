"""Find the prefixes that can never win, because longer ones cover every number of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple


class Span(NamedTuple):
    """From `start` up to but not including `end`."""

    start: datetime
    end: datetime


ALWAYS: Final = Span(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


def span_of(start: datetime | None, end: datetime | None) -> Span:
    """Make a span of a rule's window, in which None is unbounded."""
    return Span(start or ALWAYS.start, end or ALWAYS.end)


def is_covered(prefix: str, longer: Iterable[str]) -> bool:
    """Tell whether every number of a prefix begins with one of the longer prefixes as well."""
    return prefix in covered({**dict.fromkeys(longer, ALWAYS), prefix: ALWAYS})


def covered(spans: Mapping[str, Span]) -> list[str]:
    """List the prefixes all of whose numbers longer prefixes take, for the whole of their spans; in order.

    From the longest to the shortest: where ten digits may follow, and each of the ten is a prefix or is covered itself,
    their common span is what they cover.
    """
    by_length: dict[int, list[str]] = {}
    for prefix in spans:
        by_length.setdefault(len(prefix), []).append(prefix)
    found: list[str] = []
    below: dict[str, Span] = {}
    for length in range(max(by_length, default=0), 1, -1):
        taken = _common(below)
        found += [each for each in by_length.get(length, ()) if each in taken and _holds(taken[each], spans[each])]
        below = taken | {each: spans[each] for each in by_length.get(length, ())}
    return sorted(found)


def _common(children: Mapping[str, Span]) -> dict[str, Span]:
    """Give the span that the ten children of a prefix share, where there are ten and they share one."""
    parents: dict[str, list[Span]] = {}
    for child, span in children.items():
        parents.setdefault(child[:-1], []).append(span)
    shared = {
        parent: Span(max(span.start for span in spans), min(span.end for span in spans))
        for parent, spans in parents.items()
        if len(spans) == 10
    }
    return {parent: span for parent, span in shared.items() if span.start < span.end}


def _holds(outer: Span, inner: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end
