"""Pages by number: `{data, meta: {total, page, limit}}`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from operators.errors import FieldProblem, InvalidPayload

if TYPE_CHECKING:
    from rest_framework.views import APIView

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_PAGE = 1_000_000
MOST_COUNTED = 10_000


class PageLimitPagination(BasePagination):
    """Cut a queryset into pages at the cost of one count; a page behind the last one is empty, not an error."""

    total: int
    page: int
    limit: int

    def paginate_queryset(
        self,
        queryset: Any,
        request: Request,
        view: APIView | None = None,
    ) -> list[Any]:
        problems: list[FieldProblem] = []
        self.page = whole_number(request, "page", default=1, high=MAX_PAGE, problems=problems)
        self.limit = whole_number(request, "limit", default=DEFAULT_LIMIT, high=MAX_LIMIT, problems=problems)
        if problems:
            raise InvalidPayload(problems)
        self.total = self.count(queryset)
        start = (self.page - 1) * self.limit
        return list(queryset[start : start + self.limit]) if self.may_hold(start) else []

    def count(self, queryset: Any) -> int:
        return int(queryset.count())

    def may_hold(self, start: int) -> bool:
        """Tell whether anything can stand at this place."""
        return start < self.total

    def get_paginated_response(self, data: Any) -> Response:
        meta = {"total": self.total, "page": self.page, "limit": self.limit}
        return Response({"data": data, "meta": meta})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["data", "meta"],
            "properties": {
                "data": schema,
                "meta": {
                    "type": "object",
                    "required": ["total", "page", "limit"],
                    "properties": {
                        "total": {"type": "integer", "example": 1},
                        "page": {"type": "integer", "example": 1},
                        "limit": {"type": "integer", "example": DEFAULT_LIMIT},
                    },
                },
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            _parameter("page", "The page, counted from 1.", default=1, high=MAX_PAGE),
            _parameter("limit", "Entries per page.", default=DEFAULT_LIMIT, high=MAX_LIMIT),
        ]


class BoundedPagination(PageLimitPagination):
    """Count no further than 10,000: a table of a million rows is not to be read for each page.

    Pages behind those are served too, at a cost that grows with their number.
    """

    is_bounded: bool

    def count(self, queryset: Any) -> int:
        found = int(queryset.order_by()[: MOST_COUNTED + 1].count())
        self.is_bounded = found > MOST_COUNTED
        return min(found, MOST_COUNTED)

    def may_hold(self, start: int) -> bool:
        return self.is_bounded or super().may_hold(start)

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        response.data["meta"]["totalIsBounded"] = self.is_bounded
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        described = super().get_paginated_response_schema(schema)
        meta = described["properties"]["meta"]
        meta["required"].append("totalIsBounded")
        meta["properties"]["total"]["description"] = f"Counted up to {MOST_COUNTED:,}."
        meta["properties"]["totalIsBounded"] = {
            "type": "boolean",
            "example": False,
            "description": "Whether there are more than `total`.",
        }
        return described


def _parameter(name: str, description: str, *, default: int, high: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": high, "default": default}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def whole_number(request: Request, name: str, *, default: int, high: int, problems: list[FieldProblem]) -> int:
    """Read a parameter from 1 to `high`; what is wrong with it goes to `problems`."""
    raw = request.query_params.get(name, "")
    if not raw:
        return default
    value = int(raw) if re.fullmatch(r"[0-9]{1,9}", raw) else 0
    if not 1 <= value <= high:
        problems.append(FieldProblem(name, f"A whole number from 1 to {high}."))
    return value
