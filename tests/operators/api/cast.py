"""What the API's tests share: where operators are, a complete body, and how errors are read."""

from __future__ import annotations

import json
from typing import Any, Final

from operators.models import Operator
from tests.factories import PASSWORD

OPERATORS: Final = "/v1/admin/operators"
NOBODY: Final = "3f2b8c1e-5d0a-4b7e-9a61-0c9e6f1d2a34"

SMALLEST: Final[dict[str, Any]] = {
    "name": "Comium",
    "host": "smpp.comium.example",
    "systemId": "comium_80",
    "tpsLimit": {"maxTps": 10},
    "password": PASSWORD,
}


def address(operator: Operator, tail: str = "") -> str:
    return f"{OPERATORS}/{operator.pk}{tail}"


def errors(answer: Any, *, status: int = 400, code: str = "INVALID_PAYLOAD") -> dict[str, str]:
    """Check that it is this refusal, and return its messages by field, joined where there are several."""
    body = json.loads(answer.content)
    assert (answer.status_code, body.get("code")) == (status, code), answer.content
    found: dict[str, str] = {}
    for entry in body.get("errors", []):
        found[entry["field"]] = " ".join(filter(None, (found.get(entry["field"]), entry["message"])))
    return found


def refused(answer: Any, *, status: int, code: str) -> str:
    """Check that it is this refusal, and return its detail."""
    errors(answer, status=status, code=code)
    detail: str = json.loads(answer.content)["detail"]
    return detail
