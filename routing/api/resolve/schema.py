"""How the OpenAPI description tells of resolution."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter

from operators.api.schema import WITH_BODY
from operators.api.schema import operation as _operation
from operators.models import HealthState
from routing.api.resolve.examples import ANSWERS, EXPLAINED, INVALID_NUMBER, MANY_BODY
from routing.api.resolve.questions import MOST_ANSWERS, OF_MANY, ManyInput
from routing.api.resolve.serializers import AnswersSerializer, ExplainedAnswerSerializer
from routing.resolver import Strategy

operation = partial(_operation, tag="Routes")

WHOLE: Final = {"type": "integer", "minimum": 1, "maximum": MOST_ANSWERS}
ORDER: Final = (
    f"Tried in this order: the longer prefix, the rule that names its network more narrowly, operators that are not "
    f"{HealthState.DEGRADED}, then the strategy. {HealthState.UNHEALTHY} operators are left out, those in maintenance "
    "with them; where nobody else is left the outcome is ALL_UNHEALTHY. What has no route is 200 too, with NO_ROUTE."
)


def parameter(name: str, description: str, kind: Any = str, **options: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, **options)


PARAMETERS: Final = (
    parameter("to", "E.164; + is written %2B, and a space in its place is taken for it.", required=True),
    parameter("strategy", "PRIORITY unless given.", enum=[each.value for each in Strategy]),
    parameter("explain", "Also tell of every candidate why it was chosen or passed over.", bool),
    parameter("asOf", "The moment whose windows count, RFC 3339 with its offset; now unless given.", datetime),
    parameter("currency", "In which COST compares (ISO 4217); that of most candidates unless given."),
    parameter("rates", "What one unit is worth in `currency`: GBP:1.27,USD:0.92. Without a rate, prices come last."),
    parameter("mcc", "The number's network as a lookup has told it: rules of other networks are out."),
    parameter("mnc", "Beside mcc."),
    parameter("down", "Operators that are assumed to be unhealthy: their ids, with commas."),
    parameter("limit", "How many operators the answer lists.", WHOLE),
)
resolve = operation(
    "resolveRoute",
    "Tell who carries a number",
    ORDER,
    answer=ExplainedAnswerSerializer,
    example=EXPLAINED,
    parameters=PARAMETERS,
    errors=(INVALID_NUMBER,),
)
resolve_internal = operation(
    "resolveRouteInternal",
    "Tell who carries a number",
    f"{ORDER} For routing-engine.",
    answer=ExplainedAnswerSerializer,
    example=EXPLAINED,
    parameters=PARAMETERS,
    errors=(INVALID_NUMBER,),
)
resolve_many = operation(
    "resolveRoutes",
    "Tell who carries each of many numbers",
    f"{ORDER} Each answer lists {OF_MANY} operators unless `limit` says otherwise.",
    answer=AnswersSerializer,
    example=ANSWERS,
    body=ManyInput,
    body_example=MANY_BODY,
    errors=WITH_BODY,
)
