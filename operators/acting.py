"""What every action has around it: its span, and the line that tells who did it and how long it took."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from operators.actors import Actor
from operators.tracing import span


@contextmanager
def acting(
    name: str,
    *,
    logger: logging.Logger,
    actor: Actor,
    action: str,
    done: str,
    operator_id: UUID | None = None,
    **ids: str,
) -> Iterator[None]:
    """Open the span `name`, and log `done` when the block has ended well; a refusal is its caller's to tell.

    `ids` stand in the log line beside, and in place of, the operator's.
    """
    began = time.monotonic()
    if operator_id is not None:
        ids = {"operatorId": str(operator_id), **ids}
    with span(name, operator_id=operator_id, action=action):
        yield
        # Inside the span, so that the line has the ids of its trace in commands too, which have no request's span.
        logger.info(
            done,
            extra={
                **ids,
                "action": str(action),
                "adminId": actor.name,
                "durationMs": round((time.monotonic() - began) * 1000, 1),
            },
        )
