"""Rank for many numbers at once, over the rulebook's columns, as resolver.resolve does for one number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby, islice
from typing import Final
from uuid import UUID

import numpy as np

from routing.models.destination import LONGEST_PREFIX
from routing.resolver import Answer, Candidate, Outcome, Question, Strategy, draw
from routing.rulebook import FOREVER, NO_CODE, Array, Carriers, Rules, datetime_of, mnc_code, mnc_text, moment

_SCALE: Final = -6  # of a cost in millionths
_ID: Final = 16  # octets of a rule's id


@dataclass(slots=True)
class _Search:
    """One number, its prefixes that have rules, the longest last, and the rows of the rules that it was given."""

    question: Question
    groups: list[tuple[int, int]]
    taken: list[int] = field(default_factory=list)
    carriers: set[int] = field(default_factory=set)
    is_any_down: bool = False


@dataclass(slots=True)
class _Offers:
    """Rows of rules in their order, and of each what a draw looks at: plain lists, for arrays are slow one by one."""

    rows: list[int]
    carriers: list[int]
    weights: list[int]
    ids: bytes

    def lot(self, number: str, at: int) -> tuple[float, bytes]:
        return draw(number, self.ids[_ID * at : _ID * (at + 1)], self.weights[at])


def resolve_many(questions: Sequence[Question], carriers: Carriers, rules: Rules, *, limit: int) -> list[Answer]:
    """Answer each with its first `limit` operators; the questions differ in the number alone, and name no rates."""
    searches = [_Search(each, _groups(each.number, rules)) for each in questions]
    open_ones = [search for search in searches if search.groups]
    while open_ones:
        _take(open_ones, open_ones[0].question, carriers, rules, limit=limit)
        open_ones = [search for search in open_ones if search.groups and len(search.taken) < limit]
    taken = np.array([row for search in searches for row in search.taken], dtype=np.int64)
    candidates = _candidates(taken, carriers, rules)
    return [_answer(search, tuple(islice(candidates, len(search.taken)))) for search in searches]


def _groups(number: str, rules: Rules) -> list[tuple[int, int]]:
    ends = range(2, min(len(number), LONGEST_PREFIX + 1) + 1)
    return [place for end in ends if (place := rules.places.get(int(number[1:end])))]


def _take(searches: Sequence[_Search], asked: Question, carriers: Carriers, rules: Rules, *, limit: int) -> None:
    """Take, for each number, what its longest remaining prefix has to offer."""
    groups = [search.groups.pop() for search in searches]
    begins, lengths = np.array([begin for begin, _ in groups]), np.array([end - begin for begin, end in groups])
    owner = np.repeat(np.arange(len(groups)), lengths)
    row = np.arange(len(owner)) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
    routes = _routes(asked, carriers, rules, row)
    owner, row = owner[routes], row[routes]

    is_down = (carriers.is_down | np.isin(np.arange(len(carriers.ids)), _ordinals(asked.down, carriers)))[
        rules["operator"][row]
    ]
    for place in np.unique(owner[is_down]).tolist():
        searches[place].is_any_down = True
    owner, row = owner[~is_down], row[~is_down]

    keys = [owner, *_keys(asked, carriers, rules, row)]
    order = np.lexsort(keys[::-1])
    ties = np.cumsum(_differs([key[order] for key in keys])).tolist()
    edges = np.searchsorted(owner[order], np.arange(len(groups) + 1)).tolist()
    row = row[order]
    offers = _Offers(
        rows=row.tolist(),
        carriers=rules["operator"][row].tolist(),
        weights=rules["weight"][row].tolist(),
        ids=rules["rule"][row].tobytes(),
    )
    for place, search in enumerate(searches):
        for _, equals in groupby(range(edges[place], edges[place + 1]), key=ties.__getitem__):
            _try(search, list(equals), offers, limit=limit)
            if len(search.taken) == limit:
                break


def _routes(asked: Question, carriers: Carriers, rules: Rules, row: Array) -> Array:
    """Mark the rules that route at the time, whatever their operators' health."""
    at = moment(asked.as_of)
    routes = (rules["start"][row] <= at) & (rules["end"][row] > at) & carriers.routes[rules["operator"][row]]
    if asked.mcc:
        mcc, mnc = rules["mcc"][row], rules["mnc"][row]
        fits = mcc == int(asked.mcc)
        if asked.mnc:
            fits &= (mnc == NO_CODE) | (mnc == mnc_code(asked.mnc))
        routes &= fits | (mcc == NO_CODE)
    return routes


def _ordinals(down: frozenset[UUID], carriers: Carriers) -> list[int]:
    return [place for place, pk in enumerate(carriers.ids) if pk in down] if down else []


def _differs(keys: Sequence[Array]) -> Array:
    """Mark what differs from the one before in any key."""
    differs = np.zeros(len(keys[0]), dtype=bool)
    for key in keys:
        differs[1:] |= key[1:] != key[:-1]
    return differs


def _try(search: _Search, equals: list[int], offers: _Offers, *, limit: int) -> None:
    """Take the operators of equal rules in the order that the number draws, each once."""
    left = [at for at in equals if offers.carriers[at] not in search.carriers]
    if len(left) > 1:
        number = search.question.number
        left.sort(key=lambda at: offers.lot(number, at))
    for at in left:
        if len(search.taken) < limit and offers.carriers[at] not in search.carriers:
            search.carriers.add(offers.carriers[at])
            search.taken.append(offers.rows[at])


def _keys(asked: Question, carriers: Carriers, rules: Rules, row: Array) -> Iterator[Array]:
    """Give what decides within a prefix before any draw, as resolver.order_by does."""
    yield (rules["mcc"][row] == NO_CODE).astype(np.int8) + (rules["mnc"][row] == NO_CODE)
    yield carriers.is_degraded[rules["operator"][row]]
    if asked.strategy is Strategy.COST:
        currency = rules["currency"][row]
        yield np.where(currency == asked.currency.encode(), b"", currency)
        yield rules["cost"][row]
    if asked.strategy is not Strategy.WEIGHTED:
        yield rules["priority"][row]


def _candidates(rows: Array, carriers: Carriers, rules: Rules) -> Iterator[Candidate]:
    ids = rules["rule"][rows].tobytes()
    names = ("operator", "prefix", "mcc", "mnc", "priority", "weight", "cost", "currency", "start", "end")
    columns = [rules[name][rows].tolist() for name in names]
    for at, (carrier, prefix, mcc, mnc, priority, weight, cost, currency, start, end) in enumerate(
        zip(*columns, strict=True)
    ):
        yield Candidate(
            rule_id=UUID(bytes=ids[_ID * at : _ID * (at + 1)]),
            operator_id=carriers.ids[carrier],
            prefix=f"+{prefix}",
            mcc="" if mcc == NO_CODE else f"{mcc:03}",
            mnc="" if mnc == NO_CODE else mnc_text(mnc),
            priority=priority,
            weight=weight,
            cost=Decimal(cost).scaleb(_SCALE),
            currency=currency.decode(),
            effective_from=None if start < -FOREVER else datetime_of(start),
            effective_to=None if end == FOREVER else datetime_of(end),
            active=True,
            operator_name=carriers.names[carrier],
            status=carriers.statuses[carrier],
            health=carriers.healths[carrier],
        )


def _answer(search: _Search, ranked: tuple[Candidate, ...]) -> Answer:
    outcome = Outcome.ROUTED
    if not ranked:
        outcome = Outcome.ALL_UNHEALTHY if search.is_any_down else Outcome.NO_ROUTE
    return Answer(search.question, outcome, search.question.currency, ranked)
