"""Choose who carries a number: the order in which rules are tried. Plain values in, an Answer out.

Longer prefix first, then the rule that names its network more narrowly, then operators that are not degraded, then the
strategy. An operator stands in the answer once, by its first rule in this order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from routing.draws import draw


class Strategy(StrEnum):
    PRIORITY = "PRIORITY"
    COST = "COST"
    WEIGHTED = "WEIGHTED"


class Outcome(StrEnum):
    ROUTED = "ROUTED"
    NO_ROUTE = "NO_ROUTE"
    ALL_UNHEALTHY = "ALL_UNHEALTHY"


class Obstacle(StrEnum):
    """Why a rule does not route now, whatever the others are."""

    RULE_INACTIVE = "RULE_INACTIVE"
    NOT_YET = "NOT_YET"
    EXPIRED = "EXPIRED"
    OTHER_NETWORK = "OTHER_NETWORK"
    OPERATOR_INACTIVE = "OPERATOR_INACTIVE"
    OPERATOR_SUSPENDED = "OPERATOR_SUSPENDED"
    ASSUMED_DOWN = "ASSUMED_DOWN"
    UNHEALTHY = "UNHEALTHY"


# The operator would carry the number, if only it were up.
DOWN: Final = frozenset({Obstacle.ASSUMED_DOWN, Obstacle.UNHEALTHY})


class Candidate(NamedTuple):
    """A rule whose prefix the number begins with, and what counts of its operator."""

    rule_id: UUID
    operator_id: UUID
    prefix: str
    mcc: str
    mnc: str
    priority: int
    weight: int
    cost: Decimal
    currency: str
    effective_from: datetime | None
    effective_to: datetime | None
    active: bool
    operator_name: str
    status: str
    health: str

    @property
    def specificity(self) -> int:
        """Count how narrowly the rule names a network: 0 any, 1 an MCC, 2 an MCC and MNC."""
        return bool(self.mcc) + bool(self.mnc)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; `rates` say what one unit of each currency is worth in `currency`."""

    number: str
    as_of: datetime
    strategy: Strategy = Strategy.PRIORITY
    currency: str = ""
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    mcc: str = ""
    mnc: str = ""
    down: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """Who carries the number, the first to try first; `currency` is the one in which prices were compared, if any."""

    question: Question
    outcome: Outcome
    currency: str
    ranked: tuple[Candidate, ...]

    @property
    def selected(self) -> Candidate | None:
        return self.ranked[0] if self.ranked else None


def resolve(question: Question, candidates: Iterable[Candidate], *, limit: int | None = None) -> Answer:
    """Rank what routes; `limit` ends the work after so many operators."""
    usable, is_any_down = [], False
    for candidate in candidates:
        obstacle = obstacle_of(candidate, question)
        if obstacle is None:
            usable.append(candidate)
        elif obstacle in DOWN:
            is_any_down = True
    currency = currency_of(question, usable)
    ranked = tuple(rank(question, usable, currency, limit))
    if usable:
        return Answer(question, Outcome.ROUTED, currency, ranked)
    return Answer(question, Outcome.ALL_UNHEALTHY if is_any_down else Outcome.NO_ROUTE, currency, ranked)


def obstacle_of(candidate: Candidate, question: Question) -> Obstacle | None:
    """Tell what keeps a rule from routing, the rule's own reasons before its operator's; None where nothing does."""
    if not candidate.active:
        return Obstacle.RULE_INACTIVE
    if candidate.effective_from is not None and candidate.effective_from > question.as_of:
        return Obstacle.NOT_YET
    if candidate.effective_to is not None and candidate.effective_to <= question.as_of:
        return Obstacle.EXPIRED
    if candidate.mcc and question.mcc and not _is_same_network(candidate, question):
        return Obstacle.OTHER_NETWORK
    if candidate.status != "ACTIVE":
        return Obstacle.OPERATOR_SUSPENDED if candidate.status == "SUSPENDED" else Obstacle.OPERATOR_INACTIVE
    if question.down and candidate.operator_id in question.down:
        return Obstacle.ASSUMED_DOWN
    return Obstacle.UNHEALTHY if candidate.health == "UNHEALTHY" else None


def currency_of(question: Question, usable: Iterable[Candidate]) -> str:
    """Choose the currency in which COST compares: the one asked for, else the most frequent, ties by the alphabet."""
    if question.strategy is not Strategy.COST or question.currency:
        return question.currency
    return most_frequent(Counter(candidate.currency for candidate in usable))


def most_frequent(counts: Mapping[str, int]) -> str:
    return min(counts, key=lambda currency: (-counts[currency], currency), default="")


def rank(question: Question, usable: Iterable[Candidate], currency: str, limit: int | None) -> list[Candidate]:
    """List each operator once, the first to try first; beyond `limit` operators nothing is drawn."""
    order = order_by(question, currency)
    equals: dict[tuple[Any, ...], list[Candidate]] = {}
    for candidate in usable:
        equals.setdefault(order(candidate), []).append(candidate)
    ranked: list[Candidate] = []
    seen: set[int] = set()  # a UUID would be hashed in Python
    for key in sorted(equals):
        tied = [candidate for candidate in equals[key] if candidate.operator_id.int not in seen]
        if len(tied) > 1:
            tied.sort(key=lambda each: draw(question.number, each.rule_id.bytes, each.weight))
        for candidate in tied:
            if candidate.operator_id.int not in seen:
                seen.add(candidate.operator_id.int)
                ranked.append(candidate)
                if len(ranked) == limit:
                    return ranked
    return ranked


def order_by(question: Question, currency: str) -> Callable[[Candidate], tuple[Any, ...]]:
    """Return the key that sorts candidates as far as the number itself does not decide."""
    strategy = question.strategy
    price = price_in(currency, question.rates)

    def key(candidate: Candidate) -> tuple[Any, ...]:
        length, specificity, is_degraded = len(candidate.prefix), candidate.specificity, candidate.health == "DEGRADED"
        if strategy is Strategy.PRIORITY:
            return -length, -specificity, is_degraded, candidate.priority
        if strategy is Strategy.WEIGHTED:
            return -length, -specificity, is_degraded
        return -length, -specificity, is_degraded, *price(candidate), candidate.priority

    return key


def price_in(currency: str, rates: Mapping[str, Decimal]) -> Callable[[Candidate], tuple[str, Decimal]]:
    """Return what compares prices: first those in the currency or with a rate, then each other currency by itself."""

    def price(candidate: Candidate) -> tuple[str, Decimal]:
        if candidate.currency == currency:
            return "", candidate.cost
        rate = rates.get(candidate.currency)
        return ("", candidate.cost * rate) if rate is not None else (candidate.currency, candidate.cost)

    return price


def _is_same_network(candidate: Candidate, question: Question) -> bool:
    return candidate.mcc == question.mcc and (not candidate.mnc or not question.mnc or candidate.mnc == question.mnc)
