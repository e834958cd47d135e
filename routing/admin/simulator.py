"""The page that tries numbers against the routes: who carries each, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods

from operators.admin.badges import badge
from operators.models import Operator, Status
from routing import decisions
from routing.admin.rules import badges
from routing.admin.simulator_form import Entry, SimulatorForm
from routing.destinations import country_name
from routing.explanation import Explained
from routing.models import DestinationPrefix
from routing.resolver import Answer, Candidate, Outcome, Question
from routing.spreadsheet import csv_answer, harmless

# Of 4,094 characters that a request's line may have: the login's address repeats this one, and encodes it once more.
LONGEST_QUERY: Final = 3_000
MOST_CANDIDATES: Final = 300
OUTCOMES: Final = {
    Outcome.ROUTED: badge("HEALTHY", "Routed"),
    Outcome.NO_ROUTE: badge("UNHEALTHY", "No route"),
    Outcome.ALL_UNHEALTHY: badge("DEGRADED", "All unhealthy"),
}
COLUMNS: Final = (
    *("number", "outcome", "operatorId", "operator", "ruleId", "prefix", "costPerSegment", "currency"),
    *("secondOperatorId", "secondOperator", "problem"),
)


@dataclass(frozen=True)
class Row:
    """One candidate as the table shows it."""

    explained: Explained
    destination: SafeString
    price: SafeString
    window: SafeString
    health: SafeString
    status: SafeString | str
    is_assumed_down: bool


@dataclass(frozen=True)
class Line:
    """One entry of a list with its answer; an entry that is no number has none."""

    entry: Entry
    answer: Answer | None = None
    query: str = ""

    @property
    def selected(self) -> Candidate | None:
        return self.answer.selected if self.answer else None

    @property
    def second(self) -> Candidate | None:
        return self.answer.ranked[1] if self.answer and len(self.answer.ranked) > 1 else None

    @property
    def outcome(self) -> SafeString:
        return OUTCOMES[self.answer.outcome] if self.answer else badge("INACTIVE", "Not a number")

    @property
    def price(self) -> SafeString | str:
        return badges.price(self.selected.cost, self.selected.currency) if self.selected else ""


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("routing.view_routingrule", raise_exception=True)
def simulator(request: HttpRequest) -> HttpResponseBase:
    """Answer what the address asks; a form that is sent is led to its address, unless that would be too long."""
    given = request.POST if request.method == "POST" else request.GET
    form = SimulatorForm(given or None)
    if not form.is_valid():
        return _show(request, form, {"assumed": _still_assumed(form)})
    is_file = request.GET.get("format") == "csv"
    query = form.query()
    has_address = len(query) <= LONGEST_QUERY
    if request.method == "POST" and has_address and not is_file:
        return HttpResponseRedirect(f"{request.path}?{query}")
    entries: list[Entry] = form.cleaned_data["numbers"]
    question = form.question(timezone.now())
    if is_file:
        return csv_answer(f"routes-{question.as_of:%Y-%m-%d}", COLUMNS, map(_cells, _lines(form, question, entries)))
    found = _one(question, entries[0]) if len(entries) == 1 else _list(form, question, entries)
    return _show(request, form, {**_about(request, form, question, query if has_address else ""), **found})


def _one(question: Question, entry: Entry) -> dict[str, Any]:
    question = replace(question, number=entry.number)
    answer, explained = decisions.decide_and_explain(question)
    rows = [_row(each, question) for each in explained[:MOST_CANDIDATES]]
    destination = DestinationPrefix.objects.covering(entry.number).first()
    return {
        "number": entry.number,
        "answer": answer,
        "first": rows[0] if answer.selected else None,
        "rows": rows,
        "more": len(explained) - len(rows),
        "destination": destination,
        "country": country_name(destination.country) if destination else "",
    }


def _row(explained: Explained, question: Question) -> Row:
    candidate = explained.candidate
    return Row(
        explained,
        destination=badges.destination(candidate.prefix, candidate.mcc, candidate.mnc),
        price=badges.price(candidate.cost, candidate.currency),
        window=badges.window(candidate),
        health=badge(candidate.health),
        status="" if candidate.status == Status.ACTIVE else badge(candidate.status),
        is_assumed_down=candidate.operator_id in question.down,
    )


def _list(form: SimulatorForm, question: Question, entries: Sequence[Entry]) -> dict[str, Any]:
    lines = _lines(form, question, entries)
    outcomes = Counter(line.answer.outcome for line in lines if line.answer)
    operators = Counter((line.selected.operator_id, line.selected.operator_name) for line in lines if line.selected)
    return {
        "lines": lines,
        "routed": outcomes[Outcome.ROUTED],
        "no_route": outcomes[Outcome.NO_ROUTE],
        "all_unhealthy": outcomes[Outcome.ALL_UNHEALTHY],
        "junk": sum(1 for entry in entries if entry.problem),
        "operators": [(pk, name, count) for (pk, name), count in operators.most_common()],
    }


def _lines(form: SimulatorForm, question: Question, entries: Sequence[Entry]) -> list[Line]:
    numbers = [entry.number for entry in entries if entry.number]
    answers = iter(decisions.decide_all(question, numbers, limit=2) if numbers else ())
    return [
        Line(entry, next(answers), form.query(numbers=[entry.number])) if entry.number else Line(entry)
        for entry in entries
    ]


def _about(request: HttpRequest, form: SimulatorForm, question: Question, query: str) -> dict[str, Any]:
    """Say what is supposed, and under which addresses the page can be had again; a long list has none."""
    context: dict[str, Any] = {"question": question, "is_now": form.cleaned_data["as_of"] is None}
    assumed = sorted(form.cleaned_data["down"], key=lambda operator: operator.name)
    if not query:
        return {**context, "assumed": [(operator, "") for operator in assumed]}
    without = {operator.pk: form.query(down=question.down - {operator.pk}) for operator in assumed}
    here = request.build_absolute_uri(request.path)
    return {
        **context,
        "assumed": [(operator, without[operator.pk]) for operator in assumed],
        "csv": f"{query}&format=csv",
        "link": f"{here}?{query}",
        "pinned": f"{here}?{form.query(as_of=question.as_of)}",
    }


def _still_assumed(form: SimulatorForm) -> list[tuple[Operator, str]]:
    """Keep what is assumed down while another field is wrong."""
    operators = getattr(form, "cleaned_data", {}).get("down", ())
    return [(operator, "") for operator in operators]


def _show(request: HttpRequest, form: SimulatorForm, context: dict[str, Any]) -> TemplateResponse:
    whole = {**admin.site.each_context(request), "title": "Route simulator", "form": form, **context}
    return TemplateResponse(request, "admin/routing/simulator/page.html", whole)


def _cells(line: Line) -> list[object]:
    first, second = line.selected, line.second
    return [
        line.entry.number or harmless(line.entry.typed),
        line.answer.outcome.value if line.answer else "NOT_A_NUMBER",
        *_of_operator(first),
        *((first.rule_id, first.prefix, first.cost, first.currency) if first else ("", "", "", "")),
        *_of_operator(second),
        line.entry.problem,
    ]


def _of_operator(candidate: Candidate | None) -> tuple[UUID | str, str]:
    return (candidate.operator_id, harmless(candidate.operator_name)) if candidate else ("", "")


urlpatterns: list[URLPattern] = [path("", admin.site.admin_view(simulator), name="routing-simulator")]
