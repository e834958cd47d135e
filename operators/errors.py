"""What an action may answer instead of doing its work; config.problems gives each its HTTP form (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from operators.models import Operator


@dataclass(frozen=True)
class FieldProblem:
    """One wrong value: the field by its wire name (`systemId`, `tpsLimit.maxTps`) and the rule it breaks."""

    field: str
    message: str


class OperatorError(Exception):
    """A refusal that the caller can understand and act on; the message is safe to show."""

    code: ClassVar[str]
    status: ClassVar[int]
    retry_after: int | None = None
    # What the answer says besides, as extension members (RFC 9457 §3.2).
    members: Mapping[str, Any] = MappingProxyType({})


class InvalidPayload(OperatorError):
    code, status = "INVALID_PAYLOAD", 400

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in self.problems))


class OperatorNotFound(OperatorError):
    code, status = "NOT_FOUND", 404

    def __init__(self) -> None:
        super().__init__("There is no such operator.")


class DuplicateOperator(OperatorError):
    """Another operator that is not deleted has the name, or the same host, port and systemId."""

    code, status = "DUPLICATE_OPERATOR", 409

    def __init__(self, *, existing: Operator, fields: tuple[str, ...]) -> None:
        self.existing = existing
        self.fields = fields
        super().__init__(f"The operator “{existing.name}” already has this {', '.join(fields)}.")


class CreationUnderWay(OperatorError):
    """Another request with the same Idempotency-Key is creating this very operator."""

    code, status, retry_after = "DUPLICATE_OPERATOR", 409, 2

    def __init__(self) -> None:
        super().__init__("The creation of this operator is under way; ask again in a moment.")


class InvalidStatusTransition(OperatorError):
    code, status = "INVALID_STATUS_TRANSITION", 409

    def __init__(self, *, current: str, target: str) -> None:
        super().__init__(f"An operator that is {current} cannot become {target}.")


class PreconditionFailed(OperatorError):
    """The operator is no longer what the caller saw, or is being changed by somebody else right now."""

    code, status = "PRECONDITION_FAILED", 412


class VaultUnavailable(OperatorError):
    """Vault did not take or give the credential in time; nothing was changed."""

    code, status, retry_after = "VAULT_UNAVAILABLE", 503, 5

    def __init__(self, message: str = "The credential store does not answer; nothing was changed.") -> None:
        super().__init__(message)
