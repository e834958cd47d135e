"""How the OpenAPI description tells of operators on the internal API."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema_serializer
from rest_framework import serializers

from operators.api.examples import OPERATOR, Problem
from operators.api.schema import ETAG, IF_NONE_MATCH, answer_header, operation
from operators.api.serializers import OperatorSerializer
from operators.models import Operator
from routing.api.rules.examples import RULE
from routing.api.rules.serializers import RuleSerializer
from routing.roster import MOST_RULES

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
# What only staff need, and what is the same for all that are listed.
LEFT_OUT: Final = frozenset({"notes", "contacts", "hasCredential", "deletedAt"})
LEFT_OUT_OF_RULES: Final = frozenset({"operatorId", "createdBy", "updatedBy", "createdAt", "updatedAt"})


@extend_schema_serializer(component_name="RosterRule")
class RosterRuleSerializer(RuleSerializer):
    """A routing rule, inside its operator."""

    def get_fields(self) -> dict[str, Any]:
        return {name: field for name, field in super().get_fields().items() if name not in LEFT_OUT_OF_RULES}


class RulesPartSerializer(serializers.Serializer[Any]):
    """Some of an operator's rules, where they are too many for one answer."""

    number = serializers.IntegerField(min_value=1, help_text="Counted from 1.")
    isLast = serializers.BooleanField(help_text="Only with the last part are the rules whole.")
    nextCursor = serializers.CharField(
        required=False, allow_null=True, help_text="Where the next part begins; in the answer for one operator."
    )
    rules = RosterRuleSerializer(many=True)


@extend_schema_serializer(component_name="RosterOperator")
class RosterOperatorSerializer(OperatorSerializer):
    """An operator as other services hold it; with rules=true, either routingRules or routingRulesPart is there."""

    routingRules = RosterRuleSerializer(many=True, required=False, help_text="All rules of the operator.")
    routingRulesPart = RulesPartSerializer(required=False)

    def get_fields(self) -> dict[str, Any]:
        return {name: field for name, field in super().get_fields().items() if name not in LEFT_OUT}


class RosterMetaSerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField()
    nextCursor = serializers.CharField(allow_null=True, help_text="Where the next page begins; null after the last.")


class RosterSerializer(serializers.Serializer[Operator]):
    """One page of all operators that are not deleted."""

    data = RosterOperatorSerializer(many=True)  # type: ignore[assignment]  # the field; the property is gone
    meta = RosterMetaSerializer()


RULE_EXAMPLE: Final = {name: value for name, value in RULE.items() if name not in LEFT_OUT_OF_RULES}
OPERATOR_EXAMPLE: Final = {
    **{name: value for name, value in OPERATOR.items() if name not in LEFT_OUT},
    "routingRules": [RULE_EXAMPLE],
}
INVALID_CURSOR: Final = Problem(
    "INVALID_CURSOR",
    400,
    "INVALID_PAYLOAD",
    "The request breaks a rule",
    "Look at: cursor.",
    {"errors": [{"field": "cursor", "message": "This is no cursor of this listing; leave it out to begin anew."}]},
    instance="/v1/internal/operators",
)
RULES: Final = OpenApiParameter("rules", bool, description="Whether to give the routing rules with each operator.")
CUTTING: Final = (
    f"`routingRules` are always all rules of the operator. One that has more than {MOST_RULES:,} carries "
    "`routingRulesPart` in their place: parts with rising `number`, the last with `isLast`. All parts show the version "
    "that the operator had at the first; what changed since comes as an event with a higher one."
)
list_operators = operation(
    "listAllOperators",
    "Read all operators, page by page",
    f"Those that are not deleted, in the order of their ids. A page ends after `limit` operators or {MOST_RULES:,} "
    f"rules. {CUTTING} An operator whose parts end without a last one was deleted meanwhile.",
    answer=RosterSerializer,
    example={"data": [OPERATOR_EXAMPLE], "meta": {"limit": DEFAULT_LIMIT, "nextCursor": None}},
    parameters=(
        OpenApiParameter(
            "limit", int, description=f"Operators per page, 1 to {MAX_LIMIT:,}; {DEFAULT_LIMIT} unless given."
        ),
        OpenApiParameter("cursor", str, description="`meta.nextCursor` of the page before, with the same `rules`."),
        RULES,
    ),
    errors=(INVALID_CURSOR,),
)
read_operator = operation(
    "readOneOperator",
    "Read one operator",
    CUTTING,
    answer=RosterOperatorSerializer,
    example=OPERATOR_EXAMPLE,
    parameters=(
        OpenApiParameter("cursor", str, description="`routingRulesPart.nextCursor` of the part before."),
        RULES,
        IF_NONE_MATCH,
        answer_header("ETag", ETAG, 200, 304),
    ),
    errors=(INVALID_CURSOR, "NOT_FOUND"),
)
