"""Tell of every candidate why it was chosen, what put it behind the chosen one, or why it was passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from routing.resolver import Answer, Candidate, Obstacle, Question, Strategy, obstacle_of, price_in, resolve


class Verdict(StrEnum):
    CHOSEN = "CHOSEN"
    NEXT = "NEXT"
    PASSED_OVER = "PASSED_OVER"


class Reason(StrEnum):
    """Beside the obstacles: what ranks an operator behind the chosen one, or a rule behind its operator's own."""

    CHOSEN = "CHOSEN"
    SHORTER_PREFIX = "SHORTER_PREFIX"
    LESS_SPECIFIC = "LESS_SPECIFIC"
    DEGRADED = "DEGRADED"
    OTHER_CURRENCY = "OTHER_CURRENCY"
    COST = "COST"
    PRIORITY = "PRIORITY"
    WEIGHT = "WEIGHT"
    LONGER_PREFIX = "LONGER_PREFIX"
    MORE_SPECIFIC = "MORE_SPECIFIC"
    OWN_RULE_FIRST = "OWN_RULE_FIRST"


# In the order in which they decide.
REASONS: Final = (*Reason, *Obstacle)


@dataclass(frozen=True, slots=True)
class Explained:
    """One candidate's part in an answer; `position` counts from 1, among those that would be tried."""

    candidate: Candidate
    verdict: Verdict
    reason: Reason | Obstacle
    sentence: str
    position: int | None = None


def explain(question: Question, candidates: Sequence[Candidate]) -> tuple[Answer, list[Explained]]:
    """Resolve, and explain every candidate: those to try in their order, then the others, the longest prefix first."""
    answer = resolve(question, candidates)
    told = list(_in_order(answer))
    rest = sorted(_passed_over(answer, candidates), key=_by_prefix)
    return answer, told + rest


def _in_order(answer: Answer) -> Iterator[Explained]:
    for position, candidate in enumerate(answer.ranked, 1):
        first = answer.ranked[0]
        if position > 1:
            reason = _beaten_by(candidate, first, answer)
            yield Explained(candidate, Verdict.NEXT, reason, _behind(candidate, first, reason, answer), position)
        else:
            second = answer.ranked[1] if len(answer.ranked) > 1 else None
            yield Explained(candidate, Verdict.CHOSEN, Reason.CHOSEN, _chosen(candidate, second, answer), position)


def _passed_over(answer: Answer, candidates: Iterable[Candidate]) -> Iterator[Explained]:
    own: dict[UUID, Candidate] = {candidate.operator_id: candidate for candidate in answer.ranked}
    for candidate in candidates:
        if obstacle := obstacle_of(candidate, answer.question):
            yield Explained(candidate, Verdict.PASSED_OVER, obstacle, _hindered(candidate, obstacle, answer.question))
        elif (better := own[candidate.operator_id]) is not candidate:
            yield _behind_own(candidate, better)


def _by_prefix(explained: Explained) -> tuple[int, str, UUID]:
    candidate = explained.candidate
    return -len(candidate.prefix), candidate.operator_name, candidate.rule_id


def _beaten_by(candidate: Candidate, first: Candidate, answer: Answer) -> Reason:
    """Name the first criterion by which two operators differ."""
    if len(candidate.prefix) != len(first.prefix):
        return Reason.SHORTER_PREFIX
    if candidate.specificity != first.specificity:
        return Reason.LESS_SPECIFIC
    if candidate.health != first.health and "DEGRADED" in (candidate.health, first.health):
        return Reason.DEGRADED
    strategy = answer.question.strategy
    if strategy is Strategy.COST:
        price = price_in(answer.currency, answer.question.rates)
        (currency, cost), (first_currency, first_cost) = price(candidate), price(first)
        if currency != first_currency:
            return Reason.OTHER_CURRENCY
        if cost != first_cost:
            return Reason.COST
    if strategy is not Strategy.WEIGHTED and candidate.priority != first.priority:
        return Reason.PRIORITY
    return Reason.WEIGHT


def _chosen(first: Candidate, second: Candidate | None, answer: Answer) -> str:
    if second is None:
        return "Nobody else carries the number now."
    match _beaten_by(second, first, answer):
        case Reason.SHORTER_PREFIX:
            return f"Its prefix {first.prefix} is the longest that the number begins with."
        case Reason.LESS_SPECIFIC:
            return f"Of the rules for {first.prefix}, it names the network most narrowly: {_network(first)}."
        case Reason.DEGRADED:
            return f"The others with {first.prefix} are degraded."
        case Reason.OTHER_CURRENCY:
            return f"The others with {first.prefix} are priced in other currencies than {answer.currency}."
        case Reason.COST:
            return f"The cheapest for {first.prefix}: {_price(first, answer)}."
        case Reason.PRIORITY:
            return f"Priority {first.priority} is the first for {first.prefix}."
        case _:
            return f"Drawn for this number by its weight, {first.weight}, among equals."


def _behind(candidate: Candidate, first: Candidate, reason: Reason, answer: Answer) -> str:
    match reason:
        case Reason.SHORTER_PREFIX:
            return f"Its prefix {candidate.prefix} is shorter than {first.prefix}."
        case Reason.LESS_SPECIFIC:
            return f"It is for {_network(candidate)}, the chosen rule for {_network(first)}."
        case Reason.DEGRADED:
            return "The operator is degraded."
        case Reason.OTHER_CURRENCY:
            return f"It is priced in {candidate.currency}, and there is no rate to {answer.currency}."
        case Reason.COST:
            return f"{_price(candidate, answer)} is more than {_price(first, answer)}."
        case Reason.PRIORITY:
            return f"Priority {candidate.priority} comes after {first.priority}."
        case _:
            return f"Equal to the chosen one, and drawn behind it for this number (weight {candidate.weight})."


def _behind_own(candidate: Candidate, better: Candidate) -> Explained:
    if len(candidate.prefix) != len(better.prefix):
        reason, sentence = Reason.LONGER_PREFIX, f"The operator's own longer prefix {better.prefix} decides."
    elif candidate.specificity != better.specificity:
        reason, sentence = Reason.MORE_SPECIFIC, f"The operator's own rule for {_network(better)} decides."
    else:
        reason, sentence = Reason.OWN_RULE_FIRST, f"The operator's own rule for {_network(better)} comes first."
    return Explained(candidate, Verdict.PASSED_OVER, reason, sentence)


def _hindered(candidate: Candidate, obstacle: Obstacle, question: Question) -> str:
    match obstacle:
        case Obstacle.RULE_INACTIVE:
            return "The rule is switched off."
        case Obstacle.NOT_YET:
            return f"The rule begins at {_moment(candidate.effective_from)}."
        case Obstacle.EXPIRED:
            return f"The rule ended at {_moment(candidate.effective_to)}."
        case Obstacle.OTHER_NETWORK:
            asked = "/".join(part for part in (question.mcc, question.mnc) if part)
            return f"The rule is for {_network(candidate)}, the number is in {asked}."
        case Obstacle.OPERATOR_INACTIVE:
            return "The operator is inactive."
        case Obstacle.OPERATOR_SUSPENDED:
            return "The operator is suspended."
        case Obstacle.ASSUMED_DOWN:
            return "The operator is assumed to be down."
        case Obstacle.UNHEALTHY:
            return "The operator is unhealthy, or in maintenance."


def _network(candidate: Candidate) -> str:
    network = "/".join(part for part in (candidate.mcc, candidate.mnc) if part)
    return f"network {network}" if network else "any network"


def _price(candidate: Candidate, answer: Answer) -> str:
    price = f"{amount(candidate.cost)} {candidate.currency}"
    rate = answer.question.rates.get(candidate.currency)
    if rate is None or candidate.currency == answer.currency:
        return price
    return f"{price} ({amount(candidate.cost * rate)} {answer.currency})"


def amount(cost: Decimal) -> str:
    """Write a price with the decimals it needs, four at least."""
    short = cost.quantize(Decimal("0.0001"))
    return f"{short}" if short == cost else f"{cost.normalize():f}"


def _moment(at: datetime | None) -> str:
    return f"{at:%d %b %Y, %H:%M:%S} UTC" if at else ""
