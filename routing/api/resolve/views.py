"""The API's answers to who carries a number."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from operators.api.peers import InternalView, Service
from operators.api.views import AdminView, read
from routing import decisions
from routing.api.resolve import schema
from routing.api.resolve.questions import (
    OF_MANY,
    OF_ONE,
    ManyInput,
    OneInput,
    numbers_of,
    question_of,
    read_parameters,
)
from routing.api.resolve.serializers import answer_body, explained_body
from routing.numbers import parse_number


class RouteResolve(AdminView):
    @schema.resolve
    def get(self, request: Request) -> Response:
        return answered(request)


class RouteResolveInternal(InternalView):
    callers = frozenset({Service.ROUTING_ENGINE})

    @schema.resolve_internal
    def get(self, request: Request) -> Response:
        return answered(request)


class RouteResolveMany(AdminView):
    # It changes nothing: a POST because a list of numbers outgrows an address.
    changes_nothing = True

    @schema.resolve_many
    def post(self, request: Request) -> Response:
        values = read(ManyInput(data=request.data))
        numbers = numbers_of(values)
        limit = values.get("limit", OF_MANY)
        answers = decisions.decide_all(question_of(values, ""), numbers, limit=limit)
        return Response({"answers": [answer_body(answer, limit=limit) for answer in answers]})


def answered(request: Request) -> Response:
    values = read(OneInput(data=read_parameters(request)))
    question = question_of(values, parse_number(values["to"]))
    limit = values.get("limit", OF_ONE)
    if not values.get("explain"):
        return Response(answer_body(decisions.decide(question, limit=limit), limit=limit))
    answer, explained = decisions.decide_and_explain(question)
    return Response({**answer_body(answer, limit=limit), "explanation": [explained_body(each) for each in explained]})
