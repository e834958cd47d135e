"""What an action of health may answer instead of doing its work, besides what operators.errors has."""

from __future__ import annotations

from operators.errors import OperatorError


class NoOpenWindow(OperatorError):
    """There is nothing to end: it was never begun, or its time has run out."""

    code, status = "NOT_FOUND", 404

    def __init__(self, kind: str) -> None:
        super().__init__(f"The operator has no {kind.lower()} now.")
