"""Answer who carries a number: lookup and ranking together, measured."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from django.db import connection

from operators.tracing import span
from routing import lookup, metrics
from routing.explanation import Explained, explain
from routing.resolver import Answer, Candidate, Outcome, Question, Strategy, resolve

# Rules read of a prefix beyond what is asked for: an operator may have several.
SPARE: Final = 2
# Numbers at once where every rule that carries them has to be read.
CHUNK: Final = 100
# Numbers at once from which the rulebook answers: below, reading the operators costs more than the lookup.
FROM_MEMORY: Final = 200


@dataclass(slots=True)
class _Search:
    """One number on its way from the longest prefix to shorter ones; `rest` is what they are prefixes of."""

    place: int
    question: Question
    rest: str
    rules: list[Candidate] = field(default_factory=list)


def decide(question: Question, *, limit: int) -> Answer:
    """Answer with the first `limit` operators."""
    with _measured(1):
        if _needs_all(question):
            return _decide_by_all([question], limit)[0]
        return _decide_by_the_nearest(question, limit)


def decide_all(question: Question, numbers: Sequence[str], *, limit: int) -> list[Answer]:
    """Answer for each of many numbers what `decide` would; `question.number` does not count."""
    with _measured(len(numbers)):
        questions = _each(question, numbers)
        if len(numbers) >= FROM_MEMORY and _is_for_memory(question):
            # NumPy is loaded by the first list, and not by every command.
            from routing.ranking import resolve_many
            from routing.rulebook import rulebook

            return resolve_many(questions, *rulebook().current(), limit=limit)
        if _needs_all(question):
            return _decide_by_all(questions, limit)
        return _decide_all_by_the_nearest(questions, limit)


def decide_and_explain(question: Question) -> tuple[Answer, list[Explained]]:
    """Answer with all operators, and with what became of every rule whose prefix the number begins with."""
    with _measured(1):
        return explain(question, lookup.everything(question.number))


def _is_for_memory(question: Question) -> bool:
    """Tell whether the rulebook can answer: it knows one currency at a time, and only what is committed."""
    is_comparable = question.strategy is not Strategy.COST or bool(question.currency and not question.rates)
    return is_comparable and not connection.in_atomic_block


def _needs_all(question: Question) -> bool:
    """Tell whether all rules have to be read: which currency is the most frequent, only they together tell."""
    return question.strategy is Strategy.COST and not question.currency


def _each(question: Question, numbers: Sequence[str]) -> list[Question]:
    # dataclasses.replace takes five times as long.
    rest = [getattr(question, name) for name in Question.__slots__[1:]]
    return [Question(number, *rest) for number in numbers]


def _decide_by_all(questions: Sequence[Question], limit: int) -> list[Answer]:
    answers = []
    for start in range(0, len(questions), CHUNK):
        some = questions[start : start + CHUNK]
        found = lookup.in_force(some[0], [each.number for each in some])
        answers += [resolve(each, rules, limit=limit) for each, rules in zip(some, found, strict=True)]
    return answers


def _decide_by_the_nearest(question: Question, limit: int) -> Answer:
    """Go from the longest prefix to shorter ones until the answer is full."""
    rules: list[Candidate] = []
    rest, rows = question.number, limit + SPARE
    while True:
        group = lookup.nearest(question, rest, rows)
        rules += group.rules
        answer = resolve(question, rules, limit=limit)
        if len(answer.ranked) == limit or not group.prefix:
            return answer
        if len(group.rules) >= rows:
            return _decide_by_all([question], limit)[0]
        rest = group.prefix[:-1]


def _decide_all_by_the_nearest(questions: Sequence[Question], limit: int) -> list[Answer]:
    """Do the same for many numbers at once, in each round with those whose answer is not full yet."""
    answers = [Answer(each, Outcome.NO_ROUTE, "", ()) for each in questions]
    searches = [_Search(place, each, each.number) for place, each in enumerate(questions)]
    truncated: list[_Search] = []
    rows = limit + SPARE
    while searches:
        groups = lookup.nearest_of_many(questions[0], [search.rest for search in searches], rows)
        unfinished: list[_Search] = []
        for search, group in zip(searches, groups, strict=True):
            search.rules += group.rules
            answer = answers[search.place] = resolve(search.question, search.rules, limit=limit)
            if len(answer.ranked) == limit or not group.prefix:
                continue
            search.rest = group.prefix[:-1]
            (truncated if len(group.rules) >= rows else unfinished).append(search)
        searches = unfinished
    if truncated:
        exact = _decide_by_all([search.question for search in truncated], limit)
        for search, answer in zip(truncated, exact, strict=True):
            answers[search.place] = answer
    return answers


@contextmanager
def _measured(count: int) -> Iterator[None]:
    began = time.perf_counter()
    with span("ops.routing.resolve"):
        yield
    took = time.perf_counter() - began
    for _ in range(count):
        metrics.resolve_seconds.observe(took / count)
