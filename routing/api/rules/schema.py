"""How the OpenAPI description tells of each operation on routing rules."""

from __future__ import annotations

from functools import partial
from typing import Final

from operators.api.schema import IDEMPOTENCY_KEY, IF_MATCH, IF_MATCH_REQUIRED, IF_NONE_MATCH, answer_header
from operators.api.schema import operation as _operation
from routing.api.rules.examples import (
    CHANGED_RULE,
    EXACT,
    INVALID_FILTER,
    INVALID_RULE,
    NO_RULE,
    OVERLAP,
    RULE,
    RULE_BODY,
    RULE_CHANGED,
    RULE_PATCH,
    UNDER_WAY,
)
from routing.api.rules.serializers import RuleInput, RulePatch, RuleSerializer

operation = partial(_operation, tag="Routing rules")

ETAG: Final = 'The rule\'s version in quotes, such as "1"; goes into If-Match and If-None-Match.'
WITH_BODY: Final = (INVALID_RULE, "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
COUNTED: Final = (
    "`total` is counted up to 10,000, and `totalIsBounded` tells whether there are more; later pages are served, and "
    "cost more than earlier ones."
)

list_rules = operation(
    "listRoutingRules",
    "List the routing rules of all operators",
    f"Those of operators that are not deleted, by prefix. {COUNTED} Another order than by prefix needs operatorId, "
    "prefix or number.",
    answer=RuleSerializer(many=True),
    example=RULE,
    errors=(INVALID_FILTER,),
)
list_operator_rules = operation(
    "listOperatorRoutingRules",
    "List an operator's routing rules",
    f"By prefix unless ordered otherwise. {COUNTED}",
    answer=RuleSerializer(many=True),
    example=RULE,
    errors=("INVALID_PARAMETER", "NOT_FOUND"),
)
create_rule = operation(
    "createRoutingRule",
    "Add a routing rule to an operator",
    "It raises the operator's version. Refused where the operator has an active rule for the same prefix, mcc and mnc "
    "in that time, and where its longer prefixes would win every number; also where the prefix contains, or lies "
    "inside, others of the same priority, unless allowOverlap says that this is meant. The answer lists the rules "
    "concerned. With an Idempotency-Key, the same request sent again gets the first answer again, for a day.",
    status=201,
    answer=RuleSerializer,
    example=RULE,
    body=RuleInput,
    body_example=RULE_BODY,
    parameters=(
        IDEMPOTENCY_KEY,
        answer_header("ETag", ETAG, 201),
        answer_header("Location", "The address of the new rule.", 201),
        answer_header("Idempotent-Replayed", "`true` when this is an earlier request's answer.", 201),
    ),
    errors=(*WITH_BODY, "NOT_FOUND", EXACT, OVERLAP, UNDER_WAY),
)
read_rule = operation(
    "readRoutingRule",
    "Read a routing rule",
    answer=RuleSerializer,
    example=RULE,
    parameters=(IF_NONE_MATCH, answer_header("ETag", ETAG, 200, 304)),
    errors=(NO_RULE,),
)
update_rule = operation(
    "updateRoutingRule",
    "Change a routing rule",
    "JSON merge: fields that are left out stay; null clears mcc, mnc, effectiveFrom and effectiveTo. To end a price, "
    "set effectiveTo. It raises the versions of rule and operator; a request that changes nothing leaves both. "
    "allowOverlap is asked for only where the change touches what overlaps: prefix, mcc, mnc, priority, the time, or "
    "active.",
    answer=RuleSerializer,
    example=CHANGED_RULE,
    body=RulePatch(partial=True),
    body_example=RULE_PATCH,
    parameters=(IF_MATCH_REQUIRED, answer_header("ETag", ETAG, 200)),
    errors=(*WITH_BODY, NO_RULE, EXACT, OVERLAP, RULE_CHANGED, "PRECONDITION_REQUIRED"),
)
delete_rule = operation(
    "deleteRoutingRule",
    "Remove a routing rule",
    "For one that should not have been; the history keeps what it said. A price that is over gets an effectiveTo.",
    status=204,
    parameters=(IF_MATCH,),
    errors=("INVALID_IF_MATCH", NO_RULE, RULE_CHANGED),
)
