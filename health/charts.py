"""The geometry of the health page's drawings, in SVG's terms. Knows no database and no colours.

Along the time axis everything is a share of the width, so that a drawing fills whatever room it gets while its text
keeps its size; heights are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from health.ranges import EPOCH, Frame, Range
from health.reducer import State
from health.timeline import Span

HEIGHT: Final = 150
# Text of 11 px needs that much room.
LABEL_HEIGHT: Final = 14
# Labels nearer to an edge than this are set flush with it instead of being centred on their moment.
EDGE: Final = 0.035
# A span narrower than this share has no room for a letter; its title still tells what it is.
LETTER_WIDTH: Final = 0.015
# Below this one it needs a wide screen.
TIGHT_WIDTH: Final = 0.04
WORD_WIDTH: Final = 0.09
# A block is never drawn narrower, or nobody would see it.
SLIVER: Final = 0.003
SEVERITY: Final = (State.HEALTHY, State.UNKNOWN, State.DEGRADED, State.UNHEALTHY)
DAY: Final = timedelta(days=1)
# "Unhealthy" has the same initial.
LETTERS: Final = {"unknown": "?"}

Label = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Point:
    """The average and the worst of one bucket, and of how many reports."""

    at: datetime
    mean: float
    worst: float
    reports: int


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line; `label` is empty where another one's leaves no room for it."""

    y: str
    label: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment on the time axis; minor ones lose their label where the drawing is narrow."""

    x: str
    label: str
    anchor: str
    is_minor: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """The column of one bucket, for the pointer to rest on."""

    x: str
    width: str
    title: str


@dataclass(frozen=True, slots=True)
class Block:
    """One stretch of a band."""

    x: str
    width: str
    name: str
    letter: str
    word: str
    title: str
    is_sliver: bool
    is_tight: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Two stepped lines over a frame; both paths count columns across and pixels down."""

    columns: int
    height: int
    mean: str
    worst: str
    levels: tuple[Level, ...]
    hits: tuple[Hit, ...]

    @property
    def is_empty(self) -> bool:
        return not self.hits


@dataclass(frozen=True, slots=True)
class Scale:
    """The value axis: from 0 to `top`, with named limits that are always on it."""

    top: float
    limits: tuple[tuple[float, str], ...]
    label: Label

    def y(self, value: float) -> float:
        return HEIGHT * (1 - min(max(value / self.top, 0.0), 1.0))


def percent(share: float) -> str:
    """Write a share of the width as SVG takes it."""
    return f"{share * 100:.3f}%"


def scale_for(
    values: Sequence[float], *, least: float, label: Label, limits: tuple[tuple[float, str], ...] = ()
) -> Scale:
    """Choose a round top, not below `least`, that no value exceeds."""
    return Scale(top=round_up(max([least, *values])), limits=limits, label=label)


def round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    # Ten times a power of ten may miss the value by its last bit.
    return next((top for factor in (1, 2, 2.5, 5, 10) if (top := factor * power) >= value), 20 * power)


def draw_chart(points: Sequence[Point], frame: Frame, scale: Scale, title_of: Callable[[Point], str]) -> Chart:
    """Draw what the buckets say; a bucket without reports is a gap, for nobody knows what was in it."""
    return Chart(
        columns=frame.columns,
        height=HEIGHT,
        mean=_steps([(frame.column(point.at), scale.y(point.mean)) for point in points]),
        worst=_steps([(frame.column(point.at), scale.y(point.worst)) for point in points]),
        levels=_levels(scale),
        hits=tuple(
            Hit(percent(frame.share(point.at)), percent(1 / frame.columns), title_of(point)) for point in points
        ),
    )


def draw_ticks(frame: Frame, chosen: Range) -> tuple[Tick, ...]:
    """Label the time axis at whole hours or days of UTC; a midnight shows its date."""
    at = EPOCH - (EPOCH - frame.start) // chosen.tick * chosen.tick
    ticks = []
    number = 0
    while at < frame.end:
        share = frame.share(at)
        anchor = "start" if share < EDGE else "end" if share > 1 - EDGE else "middle"
        ticks.append(Tick(percent(share), _moment(at, chosen), anchor, bool(number % 2)))
        at += chosen.tick
        number += 1
    return tuple(ticks)


def draw_band(spans: Sequence[Span], frame: Frame, title_of: Callable[[Sequence[Span]], str]) -> tuple[Block, ...]:
    """Draw the states one after the other, at most a few hundred blocks however often the state moved.

    Spans too narrow to be seen are drawn together as the worst of them, and last, so that none of their wide
    neighbours hides them: an outage of a minute shows in a week.
    """
    blocks = []
    for group in _grouped(spans, frame):
        worst = max(group, key=lambda span: SEVERITY.index(span.state)).state
        blocks.append(
            draw_block(
                group[0].start,
                group[-1].end,
                frame,
                name=worst.lower(),
                word=worst.capitalize(),
                title=title_of(group),
            )
        )
    return tuple(sorted(blocks, key=lambda block: block.is_sliver))


def draw_block(start: datetime, end: datetime, frame: Frame, *, name: str, word: str, title: str) -> Block:
    """Draw one stretch, with as much text as its width bears."""
    left, right = frame.share(start), frame.share(end)
    width = max(right - left, SLIVER)
    return Block(
        x=percent(min(left, 1 - width)),
        width=percent(width),
        name=name,
        letter=LETTERS.get(name, word[:1]) if width >= LETTER_WIDTH else "",
        word=word if width >= WORD_WIDTH else "",
        title=title,
        is_sliver=width <= SLIVER,
        is_tight=width < TIGHT_WIDTH,
    )


def _grouped(spans: Sequence[Span], frame: Frame) -> list[list[Span]]:
    """Put neighbours together that are narrower than a sliver, until they are as wide as one."""
    groups: list[list[Span]] = []
    is_growing = False
    for span in spans:
        is_narrow = frame.share(span.end) - frame.share(span.start) < SLIVER
        if is_narrow and is_growing:
            groups[-1].append(span)
        else:
            groups.append([span])
        is_growing = is_narrow and frame.share(span.end) - frame.share(groups[-1][0].start) < SLIVER
    return groups


def _steps(points: Sequence[tuple[int, float]]) -> str:
    """Draw each bucket as a level line of its width, joined to the next one where no bucket lies between."""
    parts = []
    last = None
    for column, y in points:
        parts.append(f"V{y:.1f}H{column + 1}" if column == last else f"M{column} {y:.1f}H{column + 1}")
        last = column + 1
    return "".join(parts)


def _levels(scale: Scale) -> tuple[Level, ...]:
    """Draw the limits and the top first, then what else has room."""
    wanted = [*scale.limits, (scale.top, ""), (0.0, "")]
    if not scale.limits:
        wanted.append((scale.top / 2, ""))
    levels: list[Level] = []
    labelled: list[float] = []
    for value, name in wanted:
        y = scale.y(value)
        has_room = all(abs(y - other) >= LABEL_HEIGHT for other in labelled)
        if not has_room and not name and value:
            continue
        if has_room:
            labelled.append(y)
        levels.append(Level(f"{y:.1f}", scale.label(value) if has_room else "", name))
    return tuple(levels)


def _moment(at: datetime, chosen: Range) -> str:
    if chosen.tick >= DAY:
        return f"{at:%a} {at.day}"
    return f"{at.day} {at:%b}" if not (at - EPOCH) % DAY else f"{at:%H:%M}"
