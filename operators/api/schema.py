"""How the OpenAPI description tells of each operation: words, headers, errors and examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from operators.api.examples import (
    CREATE_BODY,
    HISTORY_ENTRY,
    OPERATOR,
    PATCH_BODY,
    PROBLEMS,
    REASON_BODY,
    TPS_LIMIT,
    Problem,
)
from operators.api.serializers import (
    HistoryEntrySerializer,
    OperatorInput,
    OperatorPatch,
    OperatorSerializer,
    ReasonSerializer,
    StoredOperatorSerializer,
    TpsLimitSerializer,
)

View = TypeVar("View", bound=Callable[..., Any])

PROBLEM_TYPE: Final = "application/problem+json"
PROBLEM_REF: Final = {"$ref": "#/components/schemas/Problem"}
ALWAYS: Final = ("UNAUTHENTICATED", "FORBIDDEN", "DATABASE_UNAVAILABLE")
WITH_BODY: Final = ("INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
CHANGES_ONE: Final = (*WITH_BODY, "NOT_FOUND", "PRECONDITION_FAILED")

ETAG: Final = 'The operator\'s version in quotes, such as "7"; goes into If-Match and If-None-Match.'


def request_header(name: str, description: str, *, required: bool = False, pattern: str = "") -> OpenApiParameter:
    kind: dict[str, str] = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description, required=required)


def answer_header(name: str, description: str, *statuses: int) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description, response=list(statuses))


ADMIN_ID: Final = request_header("X-Admin-Id", "Optional; refused when it differs from the token's sub.")
SEEN: Final = "The ETag that was seen, or *; checked under the row's lock."
TAG: Final = r'^("[0-9]{1,18}"|\*)$'
IF_MATCH: Final = request_header("If-Match", SEEN, pattern=TAG)
IF_MATCH_REQUIRED: Final = request_header("If-Match", SEEN, required=True, pattern=TAG)
IDEMPOTENCY_KEY: Final = request_header(
    "Idempotency-Key",
    "1 to 255 printable ASCII characters of the caller's choice, per caller.",
    pattern="^[ -~]{1,255}$",
)
IF_NONE_MATCH: Final = request_header("If-None-Match", "ETags that the caller holds; 304 when one is current.")


def operation(
    operation_id: str,
    summary: str,
    description: str = "",
    *,
    status: int = 200,
    answer: Any = None,
    example: Mapping[str, Any] | None = None,
    body: Any = None,
    body_example: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    more_answers: Mapping[int, OpenApiResponse] = MappingProxyType({}),
    more_examples: Sequence[OpenApiExample] = (),
    parameters: Sequence[OpenApiParameter] = (),
    errors: Sequence[str | Problem] = (),
    tag: str = "Operators",
) -> Callable[[View], View]:
    """Describe one operation; `example` is one entry where the answer is a page.

    `more_answers` are other successes, and `more_examples` theirs, or those of bodies that are not JSON.
    """
    responses: dict[Any, Any] = {status: OpenApiResponse(answer, description=summary), **more_answers}
    if any(parameter.name == "If-None-Match" for parameter in parameters):
        responses[304] = OpenApiResponse(None, description="Not modified.")
    responses |= _refusals((*ALWAYS, *errors))
    examples = list(more_examples)
    if example is not None:
        examples.append(OpenApiExample(summary, value=example, response_only=True, status_codes=[str(status)]))
    if body_example is not None:
        examples.append(OpenApiExample(summary, value=body_example, request_only=True))
    decorate: Callable[[View], View] = extend_schema(
        operation_id=operation_id,
        tags=[tag],
        summary=summary,
        description=description or f"{summary}.",
        request=body,
        responses=responses,
        examples=examples,
        parameters=[*parameters, ADMIN_ID],
    )
    return decorate


def _refusals(named: Sequence[str | Problem]) -> dict[Any, OpenApiResponse]:
    by_status: dict[int, list[Problem]] = {}
    for each in named:
        problem = PROBLEMS[each] if isinstance(each, str) else each
        by_status.setdefault(problem.status, []).append(problem)
    return {
        (status, PROBLEM_TYPE): OpenApiResponse(
            PROBLEM_REF,
            description=" or ".join(dict.fromkeys(problem.code for problem in problems)),
            examples=[
                OpenApiExample(problem.title_words, value=problem.body, media_type=PROBLEM_TYPE) for problem in problems
            ],
        )
        for status, problems in sorted(by_status.items())
    }


list_operators = operation(
    "listOperators",
    "List operators",
    "Those that are not deleted, by name unless ordered otherwise. Parameters that do not exist are refused.",
    answer=OperatorSerializer(many=True),
    example=OPERATOR,
    errors=("INVALID_PARAMETER",),
)
create_operator = operation(
    "createOperator",
    "Create an operator",
    "It begins INACTIVE. The password goes to Vault first; if Vault does not take it, there is no operator. With an "
    "Idempotency-Key, the same request sent again gets the first answer again, for a day.",
    status=201,
    answer=StoredOperatorSerializer,
    example=OPERATOR | {"warnings": []},
    body=OperatorInput,
    body_example=CREATE_BODY,
    parameters=(
        IDEMPOTENCY_KEY,
        answer_header("ETag", ETAG, 201),
        answer_header("Location", "The address of the new operator.", 201),
        answer_header("Idempotent-Replayed", "`true` when this is an earlier request's answer.", 201),
    ),
    errors=(*WITH_BODY, "DUPLICATE_OPERATOR", "CREATION_UNDER_WAY", "VAULT_UNAVAILABLE"),
)
read_operator = operation(
    "readOperator",
    "Read an operator",
    answer=OperatorSerializer,
    example=OPERATOR,
    parameters=(IF_NONE_MATCH, answer_header("ETag", ETAG, 200, 304)),
    errors=("NOT_FOUND",),
)
update_operator = operation(
    "updateOperator",
    "Change an operator",
    "JSON merge: fields that are left out stay, also inside tpsLimit. A password rotates the credential; everybody is "
    "served the old one until this call has answered. A request that changes nothing leaves the version as it is.",
    answer=StoredOperatorSerializer,
    example=OPERATOR | {"version": 8, "port": 2776, "warnings": []},
    body=OperatorPatch(partial=True),
    body_example=PATCH_BODY,
    parameters=(IF_MATCH_REQUIRED, answer_header("ETag", ETAG, 200)),
    errors=(*CHANGES_ONE, "DUPLICATE_OPERATOR", "PRECONDITION_REQUIRED", "VAULT_UNAVAILABLE"),
)
delete_operator = operation(
    "deleteOperator",
    "Delete an operator",
    "Softly: it can be restored. It becomes INACTIVE, its rules stop routing, and its secret is soft-deleted.",
    status=204,
    parameters=(IF_MATCH,),
    errors=("INVALID_IF_MATCH", "NOT_FOUND", "PRECONDITION_FAILED"),
)


def _move(
    name: str, summary: str, description: str, *, example: dict[str, Any], errors: Sequence[str]
) -> Callable[[View], View]:
    return operation(
        name,
        summary,
        description,
        answer=OperatorSerializer,
        example=OPERATOR | example,
        body=ReasonSerializer,
        body_example=REASON_BODY,
        parameters=(IF_MATCH, answer_header("ETag", ETAG, 200)),
        errors=(*CHANGES_ONE, *errors),
    )


activate_operator = _move(
    "activateOperator",
    "Activate an operator",
    "From INACTIVE or SUSPENDED: the platform may bind to it and route over it.",
    example={"version": 8, "status": "ACTIVE"},
    errors=("INVALID_STATUS_TRANSITION",),
)
suspend_operator = _move(
    "suspendOperator",
    "Suspend an operator",
    "From ACTIVE: it is taken out of routing for a while.",
    example={"version": 8, "status": "SUSPENDED"},
    errors=("INVALID_STATUS_TRANSITION",),
)
deactivate_operator = _move(
    "deactivateOperator",
    "Deactivate an operator",
    "From ACTIVE or SUSPENDED: it is taken out of service.",
    example={"version": 8, "status": "INACTIVE"},
    errors=("INVALID_STATUS_TRANSITION",),
)
restore_operator = _move(
    "restoreOperator",
    "Restore a deleted operator",
    "It comes back INACTIVE, with the password it had. Refused where its name or bind is taken by now.",
    example={"version": 8, "status": "INACTIVE"},
    errors=("INVALID_STATUS_TRANSITION", "DUPLICATE_OPERATOR", "VAULT_UNAVAILABLE"),
)
revert_credential = _move(
    "revertCredential",
    "Go back to the previous password",
    "The previous Vault version becomes the valid one, and the present one the previous.",
    example={"version": 8, "credentialVersion": 1},
    errors=("VAULT_UNAVAILABLE",),
)
read_tps_limit = operation(
    "readTpsLimit",
    "Read an operator's throughput limit",
    answer=TpsLimitSerializer,
    example=TPS_LIMIT,
    parameters=(IF_NONE_MATCH, answer_header("ETag", ETAG, 200, 304)),
    errors=("NOT_FOUND",),
)
replace_tps_limit = operation(
    "replaceTpsLimit",
    "Replace an operator's throughput limit",
    "What is left out goes back to its default.",
    answer=TpsLimitSerializer,
    example=TPS_LIMIT,
    body=TpsLimitSerializer,
    body_example=TPS_LIMIT,
    parameters=(IF_MATCH, answer_header("ETag", ETAG, 200)),
    errors=CHANGES_ONE,
)
read_history = operation(
    "readHistory",
    "Read who changed what",
    "Newest first. Passwords never appear; a rotation shows the two Vault versions.",
    answer=HistoryEntrySerializer(many=True),
    example=HISTORY_ENTRY,
    errors=("INVALID_PARAMETER", "NOT_FOUND"),
)
