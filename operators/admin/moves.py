"""The moves that an operator's page offers: who may make them, when, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.http import HttpRequest

from operators import actions
from operators.actors import Actor
from operators.forms import PasswordForm, ReasonForm
from operators.models import Operator, Status
from operators.secrets import Secret


@dataclass(frozen=True)
class Move:
    """One button: its confirmation page, and the action behind it."""

    name: str
    label: str
    title: str
    done: str
    permission: str
    explanation: tuple[str, ...]
    is_possible: Callable[[Operator], bool]
    run: Callable[..., Operator]
    form: type[ReasonForm] = ReasonForm
    tone: str = "plain"
    in_bulk: bool = False

    def is_permitted(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"operators.{self.permission}")


def rotate(*, actor: Actor, operator_id: UUID, expected_version: int, reason: str, password: Secret) -> Operator:
    return actions.update_operator(
        actor=actor,
        operator_id=operator_id,
        changes={},
        password=password,
        expected_version=expected_version,
        reason=reason,
    )


ACTIVATE: Final = Move(
    name="activate",
    label="Activate",
    title="Activate {}",
    done="{} is active.",
    permission="change_operator_status",
    explanation=("The connector may bind, and traffic may be routed.",),
    is_possible=lambda operator: Status.ACTIVE in operator.status_moves,
    run=actions.activate_operator,
    tone="go",
    in_bulk=True,
)
SUSPEND: Final = Move(
    name="suspend",
    label="Suspend",
    title="Suspend {}",
    done="{} is suspended.",
    permission="change_operator_status",
    explanation=("Taken out of routing for a while. All settings stay, and activating again is one click.",),
    is_possible=lambda operator: Status.SUSPENDED in operator.status_moves,
    run=actions.suspend_operator,
    in_bulk=True,
)
DEACTIVATE: Final = Move(
    name="deactivate",
    label="Deactivate",
    title="Deactivate {}",
    done="{} is inactive.",
    permission="change_operator_status",
    explanation=("Taken out of service. All settings stay, and activating again is one click.",),
    is_possible=lambda operator: Status.INACTIVE in operator.status_moves,
    run=actions.deactivate_operator,
    in_bulk=True,
)
ROTATE: Final = Move(
    name="rotate",
    label="Rotate password",
    title="Rotate the password of {}",
    done="{} has a new password.",
    permission="rotate_credential",
    explanation=(
        "The new password is stored as the next version; from then on every bind uses it.",
        "The present one is kept, so that you can go back to it if the carrier has not switched yet.",
    ),
    is_possible=lambda operator: not operator.is_deleted,
    run=rotate,
    form=PasswordForm,
)
REVERT: Final = Move(
    name="revert",
    label="Previous password",
    title="Go back to the previous password of {}",
    done="{} uses its previous password again.",
    permission="revert_credential",
    explanation=(
        "The version before the present one becomes valid again, and the present one becomes the previous: doing this "
        "twice changes nothing.",
        "Use it when the carrier still expects the old password. Running binds are not cut; the next bind uses it.",
    ),
    is_possible=lambda operator: not operator.is_deleted and operator.credential_previous_version is not None,
    run=actions.revert_credential,
)
DELETE: Final = Move(
    name="delete",
    label="Delete",
    title="Delete {}",
    done="{} is deleted. It can be restored from the list of deleted operators.",
    permission="delete_operator",
    explanation=(
        "Inactive at once, and the rules stop routing.",
        "The password is locked away in the credential store, and destroyed for good after the retention time.",
        "The name, and the host, port and system_id, become free for another operator.",
        "Restoring is possible as long as the password is kept and no other operator has taken the place.",
    ),
    is_possible=lambda operator: not operator.is_deleted,
    run=actions.delete_operator,
    tone="danger",
    in_bulk=True,
)
RESTORE: Final = Move(
    name="restore",
    label="Restore",
    title="Restore {}",
    done="{} is back, inactive. Activate it when it is to be used.",
    permission="restore_operator",
    explanation=(
        "It comes back as inactive, with the password that it had.",
        "If another operator has its name, or its host, port and system_id, by now, nothing happens but naming it.",
    ),
    is_possible=lambda operator: operator.is_deleted,
    run=actions.restore_operator,
    tone="go",
)

MOVES: Final = {move.name: move for move in (ACTIVATE, SUSPEND, DEACTIVATE, ROTATE, REVERT, RESTORE, DELETE)}
BULK_MOVES: Final = {f"{move.name}_selected": move for move in MOVES.values() if move.in_bulk}


def open_moves(request: HttpRequest, operator: Operator) -> list[Move]:
    """List the moves that this person may make with this operator now."""
    return [move for move in MOVES.values() if move.is_possible(operator) and move.is_permitted(request)]
