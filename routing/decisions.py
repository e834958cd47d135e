"""Answer who carries a number: lookup and ranking together, measured."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from operators.tracing import span
from routing import lookup, metrics
from routing.explanation import Explained, explain
from routing.resolver import Answer, Question, Strategy, resolve

# Rows read beyond what is asked for, in place of those whose operator is down or has two rules.
SPARE: Final = 2


def decide(question: Question, *, limit: int) -> Answer:
    """Answer with the first `limit` operators."""
    [answer] = decide_all(question, [question.number], limit=limit)
    return answer


def decide_all(question: Question, numbers: Sequence[str], *, limit: int) -> list[Answer]:
    """Answer for each of many numbers what `decide` would; `question.number` does not count."""
    with _measured(len(numbers)):
        questions = [replace(question, number=number) for number in numbers]
        if question.strategy is Strategy.COST and not question.currency:
            # Which currency is the most frequent, all candidates tell.
            found = lookup.in_force(question, numbers)
            return [resolve(each, rules, limit=limit) for each, rules in zip(questions, found, strict=True)]
        rows = limit + SPARE
        found = lookup.foremost(question, numbers, rows)
        answers = [resolve(each, rules, limit=limit) for each, rules in zip(questions, found, strict=True)]
        short = [
            place for place, answer in enumerate(answers) if len(answer.ranked) < limit and len(found[place]) >= rows
        ]
        if short:
            more = lookup.in_force(question, [numbers[place] for place in short])
            for place, rules in zip(short, more, strict=True):
                answers[place] = resolve(questions[place], rules, limit=limit)
        return answers


def decide_and_explain(question: Question) -> tuple[Answer, list[Explained]]:
    """Answer with all operators, and with what became of every rule that the number begins with."""
    with _measured(1):
        [candidates] = lookup.everything([question.number])
        return explain(question, candidates)


@contextmanager
def _measured(count: int) -> Iterator[None]:
    began = time.perf_counter()
    with span("ops.routing.resolve"):
        yield
    if count:
        took = (time.perf_counter() - began) / count
        for _ in range(count):
            metrics.resolve_seconds.observe(took)
