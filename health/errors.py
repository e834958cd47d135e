"""What an action of health may answer instead of doing its work, besides what operators.errors has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.errors import OperatorError


class NoOpenWindow(OperatorError):
    """There is nothing to end: it was never begun, or its time has run out."""

    code, status = "NOT_FOUND", 404

    def __init__(self, kind: str) -> None:
        super().__init__(f"The operator has no {kind.lower()} now.")


class BrokerUnavailable(OperatorError):
    """Not everything is known to be stored; what is not is listed, and sending all of it again is harmless."""

    code, status, retry_after = "BROKER_UNAVAILABLE", 503, 2

    def __init__(self, *, accepted: int, pending: Sequence[Mapping[str, object]]) -> None:
        self.members = {"accepted": accepted, "pending": list(pending)}
        super().__init__("The broker does not answer; send all of it again in a moment.")
