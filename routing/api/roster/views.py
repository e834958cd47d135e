"""The internal API's operators: what routing-engine and smpp-connector read when they start, and after a gap."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from operators.api.cursors import read_cursor, write_cursor
from operators.api.filters import refuse_unknown
from operators.api.pagination import whole_number
from operators.api.peers import InternalView, Service
from operators.api.preconditions import etag, is_known
from operators.errors import FieldProblem, InvalidPayload
from operators.roster import on_the_wire, read_one
from routing import roster
from routing.api.roster import schema
from routing.api.roster.schema import DEFAULT_LIMIT, MAX_LIMIT
from routing.roster import Entry, Position

WORDS: Final = {"": False, "false": False, "true": True}


@dataclass(frozen=True)
class Asked:
    with_rules: bool
    limit: int = 1


@dataclass(frozen=True)
class Seen:
    """What has an ETag here."""

    version: Any


class RosterView(InternalView):
    callers = frozenset({Service.ROUTING_ENGINE, Service.SMPP_CONNECTOR})


class OperatorRoster(RosterView):
    @schema.list_operators
    def get(self, request: Request) -> HttpResponse:
        asked = read_parameters(request, {"limit", "cursor", "rules"})
        listing = "operators with rules" if asked.with_rules else "operators"
        page = roster.page(read_position(request, listing), limit=asked.limit, with_rules=asked.with_rules)
        cursor = write_cursor(listing, page.goes_on) if page.goes_on else None
        data = ",".join(entry_text(entry, with_rules=asked.with_rules) for entry in page.entries)
        meta = text_of({"limit": asked.limit, "nextCursor": cursor})
        return json_answer(f'{{"data":[{data}],"meta":{meta}}}')


class RosterOperator(RosterView):
    @schema.read_operator
    def get(self, request: Request, operator_id: UUID) -> HttpResponse:
        asked = read_parameters(request, {"cursor", "rules"})
        listing = f"rules of {operator_id}"
        position = read_position(request, listing) if asked.with_rules else None
        operator = on_the_wire(read_one(operator_id))
        seen = Seen(operator["version"])
        # A part is no representation of the whole, and has no ETag.
        headers = {"ETag": etag(seen)} if position is None else {}
        if headers and is_known(request, seen):
            return HttpResponse(status=304, headers=headers)
        if not asked.with_rules:
            return json_answer(text_of(operator), headers)
        entry, goes_on = roster.with_its_rules(operator, position)
        cursor = write_cursor(listing, goes_on) if goes_on else None
        return json_answer(entry_text(entry, with_rules=True, cursor={"nextCursor": cursor}), headers)


def read_parameters(request: Request, known: set[str]) -> Asked:
    refuse_unknown(request, known)
    problems: list[FieldProblem] = []
    limit = whole_number(request, "limit", default=DEFAULT_LIMIT, high=MAX_LIMIT, problems=problems)
    word = request.query_params.get("rules", "")
    if word not in WORDS:
        problems.append(FieldProblem("rules", "This is true or false."))
    elif not WORDS[word] and "limit" not in known and request.query_params.get("cursor"):
        problems.append(FieldProblem("cursor", "Only rules come in parts: send rules=true with it."))
    if problems:
        raise InvalidPayload(problems)
    return Asked(with_rules=WORDS[word], limit=limit)


def read_position(request: Request, listing: str) -> Position | None:
    position = read_cursor(request, listing)
    return Position(*position) if position is not None else None


def entry_text(entry: Entry, *, with_rules: bool, cursor: dict[str, str | None] | None = None) -> str:
    """Write an operator, and its rules under a name that tells whether these are all of them."""
    operator = text_of(entry.operator)
    if not with_rules:
        return operator
    rules = f"[{','.join(entry.rules)}]"
    if not entry.part:
        return f'{operator[:-1]},"routingRules":{rules}}}'
    part = text_of({"number": entry.part, "isLast": entry.is_last, **(cursor or {})})
    return f'{operator[:-1]},"routingRulesPart":{part[:-1]},"rules":{rules}}}}}'


def text_of(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_answer(text: str, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(text.encode(), content_type="application/json", headers=headers)
