"""Rank for many numbers at once, over the rulebook's columns, as resolver.resolve does for one number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Final
from uuid import UUID

import numpy as np
from psycopg import adapters
from psycopg.adapt import Transformer
from psycopg.pq import Format

from routing.draws import draw_many
from routing.models.destination import LONGEST_PREFIX
from routing.resolver import Answer, Candidate, Outcome, Question, Strategy
from routing.rulebook import FOREVER, NO_CODE, Array, Carriers, Rules, datetime_of, mnc_code, mnc_text, moment

_SCALE: Final = -6  # of a cost in millionths
# Several times as fast as UUID(bytes=...).
_uuid: Final[Callable[[bytes], UUID]] = Transformer().get_loader(adapters.types["uuid"].oid, Format.BINARY).load


@dataclass(frozen=True, slots=True)
class _Offers:
    """Rules that may carry numbers, in three arrays: the number's place in the list, the rule's row, its operator."""

    number: Array
    row: Array
    carrier: Array

    def __getitem__(self, chosen: Array) -> _Offers:
        return _Offers(self.number[chosen], self.row[chosen], self.carrier[chosen])

    def __add__(self, more: _Offers) -> _Offers:
        ours, theirs = (self.number, self.row, self.carrier), (more.number, more.row, more.carrier)
        return _Offers(*(np.concatenate(both) for both in zip(ours, theirs, strict=True)))

    @property
    def pair(self) -> Array:
        """Number and operator in one."""
        return self.number << 32 | self.carrier


def resolve_many(questions: Sequence[Question], carriers: Carriers, rules: Rules, *, limit: int) -> list[Answer]:
    """Answer each with its first `limit` operators; the questions differ in the number alone, and name no rates."""
    if not questions:
        return []
    numbers = [question.number for question in questions]
    taken, has_down = _take(questions[0], numbers, carriers, rules, limit=limit)
    candidates = _candidates(taken.row[np.argsort(taken.number, kind="stable")], carriers, rules)
    counts = np.bincount(taken.number, minlength=len(numbers))
    return _answers(questions, candidates, counts.tolist(), has_down.tolist())


def _take(
    asked: Question, numbers: Sequence[str], carriers: Carriers, rules: Rules, *, limit: int
) -> tuple[_Offers, Array]:
    """Choose what each number takes, from its longest prefix to shorter ones, and tell where an operator was down."""
    is_down, has_down = _down(asked, carriers), np.zeros(len(numbers), dtype=bool)
    nothing = np.zeros(0, dtype=np.int64)
    taken, room = _Offers(nothing, nothing, nothing), np.full(len(numbers), limit)
    for number, place in _rounds(numbers, rules):
        is_open = room[number] > 0
        if not is_open.any():
            break
        offers = _all_of(rules, number[is_open], place[is_open])
        offers = offers[_routes(asked, carriers, rules, offers)]
        down = is_down[offers.carrier]
        has_down[offers.number[down]] = True
        offers = offers[~down]
        offers = offers[~np.isin(offers.pair, taken.pair)]
        taken += _first(numbers, offers, list(_keys(asked, carriers, rules, offers)), rules, room)
        room = limit - np.bincount(taken.number, minlength=len(numbers))
    return taken, has_down


def _down(asked: Question, carriers: Carriers) -> Array:
    """Mark the operators that are down, or assumed to be."""
    is_down = carriers.is_down.copy()
    if asked.down:
        is_down[[place for place, pk in enumerate(carriers.ids) if pk in asked.down]] = True
    return is_down


def _rounds(numbers: Sequence[str], rules: Rules) -> Iterator[tuple[Array, Array]]:
    """Give the numbers, and of each the place of its longest prefix that has rules; then the next; and so on."""
    digits = np.array([int(number[1 : LONGEST_PREFIX + 1]) for number in numbers], dtype=np.int64)
    prefixes = digits[:, np.newaxis] // 10 ** np.arange(LONGEST_PREFIX)
    places = np.searchsorted(rules.prefixes, prefixes)
    has_rules = rules.prefixes[places] == prefixes
    turns = np.cumsum(has_rules, axis=1) * has_rules
    for turn in range(1, turns.max() + 1):
        number, digit = np.nonzero(turns == turn)
        yield number, places[number, digit]


def _all_of(rules: Rules, number: Array, place: Array) -> _Offers:
    """List the rules of one prefix for each number."""
    begins = rules.begins[place]
    lengths = rules.begins[place + 1] - begins
    row = np.arange(lengths.sum()) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
    return _Offers(np.repeat(number, lengths), row, rules["operator"][row])


def _routes(asked: Question, carriers: Carriers, rules: Rules, offers: _Offers) -> Array:
    """Mark the rules that route at the time, whatever their operators' health."""
    at, row = moment(asked.as_of), offers.row
    routes = (rules["start"][row] <= at) & (rules["end"][row] > at) & carriers.routes[offers.carrier]
    if asked.mcc:
        mcc, mnc = rules["mcc"][row], rules["mnc"][row]
        fits = mcc == int(asked.mcc)
        if asked.mnc:
            fits &= (mnc == NO_CODE) | (mnc == mnc_code(asked.mnc))
        routes &= fits | (mcc == NO_CODE)
    return routes


def _keys(asked: Question, carriers: Carriers, rules: Rules, offers: _Offers) -> Iterator[Array]:
    """Give what decides within a prefix before any draw, as resolver.order_by does."""
    row = offers.row
    yield (rules["mcc"][row] == NO_CODE).astype(np.int8) + (rules["mnc"][row] == NO_CODE)
    yield carriers.is_degraded[offers.carrier]
    if asked.strategy is Strategy.COST:
        currency = rules["currency"][row]
        yield np.where(currency == asked.currency.encode(), b"", currency)
        yield rules["cost"][row]
    if asked.strategy is not Strategy.WEIGHTED:
        yield rules["priority"][row]


def _first(numbers: Sequence[str], offers: _Offers, keys: Sequence[Array], rules: Rules, room: Array) -> _Offers:
    """Choose for each number the first operators that it still has room for, each by its first rule."""
    order = np.lexsort((*keys[::-1], offers.number))
    offers = offers[order]
    tie = _begins(offers.number, *(key[order] for key in keys))

    _, first, which = np.unique(offers.pair, return_index=True, return_inverse=True)
    is_first = np.zeros(len(tie), dtype=np.int64)
    is_first[first] = 1
    before = np.cumsum(is_first) - is_first
    ahead = before[tie] - before[_begins(offers.number)]
    # An operator's later ties do not count, nor what comes once the number has enough: nothing is drawn for them.
    is_wanted = (tie == tie[first][which]) & (ahead < room[offers.number])
    offers, tie = offers[is_wanted], tie[is_wanted]

    offers = offers[_by_draw(numbers, offers, tie, rules)]
    offers = offers[np.sort(np.unique(offers.pair, return_index=True)[1])]
    return offers[np.arange(len(offers.row)) - _begins(offers.number) < room[offers.number]]


def _begins(*keys: Array) -> Array:
    """Give for each place the one where its run of equal keys begins."""
    places = np.arange(len(keys[0]))
    differs = np.zeros(len(places), dtype=bool)
    for key in keys:
        differs[1:] |= key[1:] != key[:-1]
    return np.maximum.accumulate(np.where(differs, places, 0))


def _by_draw(numbers: Sequence[str], offers: _Offers, tie: Array, rules: Rules) -> Array:
    """Order what is equal as each number draws."""
    drawn = np.bincount(tie)[tie] > 1
    octets = [number.encode() for number in numbers]
    ids, weights = rules["rule"][offers.row], rules["weight"][offers.row]
    lots = np.zeros(len(tie))
    lots[drawn] = draw_many(
        [octets[place] for place in offers.number[drawn].tolist()], ids[drawn].tolist(), weights[drawn]
    )
    # Complex numbers sort by their real parts first: many times as fast as lexsort.
    keys = tie + 1j * lots
    order = np.argsort(keys)
    if np.any(keys[order[1:]] == keys[order[:-1]]):  # hardly ever
        return np.array(sorted(order.tolist(), key=lambda at: (tie[at], lots[at], ids[at].tobytes())))
    return order


def _candidates(rows: Array, carriers: Carriers, rules: Rules) -> list[Candidate]:
    """Build what stands in the rows: column by column, and once where several numbers have the same."""
    rows, which = np.unique(rows, return_inverse=True)
    column = {name: rules[name][rows].tolist() for name in rules.columns}
    operators = column["operator"]
    values = {
        "rule_id": [_uuid(pk) for pk in column["rule"]],
        "operator_id": [carriers.ids[operator] for operator in operators],
        "prefix": [f"+{prefix}" for prefix in column["prefix"]],
        "mcc": ["" if mcc == NO_CODE else f"{mcc:03}" for mcc in column["mcc"]],
        "mnc": ["" if mnc == NO_CODE else mnc_text(mnc) for mnc in column["mnc"]],
        "priority": column["priority"],
        "weight": column["weight"],
        "cost": [Decimal(cost).scaleb(_SCALE) for cost in column["cost"]],
        "currency": [currency.decode() for currency in column["currency"]],
        "effective_from": [None if start < -FOREVER else datetime_of(start) for start in column["start"]],
        "effective_to": [None if end == FOREVER else datetime_of(end) for end in column["end"]],
        "active": [True] * len(rows),
        "operator_name": [carriers.names[operator] for operator in operators],
        "status": [carriers.statuses[operator] for operator in operators],
        "health": [carriers.healths[operator] for operator in operators],
    }
    distinct = list(map(Candidate._make, zip(*(values[name] for name in Candidate._fields), strict=True)))
    return [distinct[place] for place in which.tolist()]


def _answers(
    questions: Sequence[Question], candidates: Sequence[Candidate], counts: Sequence[int], has_down: Sequence[bool]
) -> list[Answer]:
    """Deal the candidates out, so many to each question."""
    currency = questions[0].currency
    nobody = (Outcome.NO_ROUTE, Outcome.ALL_UNHEALTHY)
    ends = accumulate(counts)
    return [
        Answer(question, Outcome.ROUTED if count else nobody[down], currency, tuple(candidates[end - count : end]))
        for question, count, end, down in zip(questions, counts, ends, has_down, strict=True)
    ]
