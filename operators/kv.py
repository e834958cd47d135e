"""The words of Vault's KV version 2 engine: roles, versions, and what a call may end in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from operators.errors import VaultUnavailable


class Role(StrEnum):
    """The part of a process, and with it what Vault's policy lets it do (deploy/vault)."""

    ADMIN = "admin"
    INTERNAL = "internal"
    RECONCILER = "reconciler"
    BOOTSTRAP = "bootstrap"


class CasMismatch(Exception):
    """The secret is not at the version that the write was checked against; nothing was written."""


class SecretMissing(Exception):
    """There is no such secret, or the version asked for is deleted, destroyed or was never written."""


class OutcomeUnknown(VaultUnavailable):
    """The request was sent and its answer lost: it may have been done."""


@dataclass(frozen=True)
class VersionState:
    created_at: datetime
    deleted_at: datetime | None
    is_destroyed: bool

    @property
    def is_deleted(self) -> bool:
        """Tell whether it is soft-deleted, so that it can be undeleted while it is not destroyed."""
        return self.deleted_at is not None


@dataclass(frozen=True)
class SecretMetadata:
    """What may be known of a secret without its value; labels are KV v2's custom_metadata."""

    current_version: int
    created_at: datetime
    versions: Mapping[int, VersionState]
    labels: Mapping[str, str]

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        """Read KV v2's answer; its times are RFC 3339 with nanoseconds, of which we keep the micros."""
        return cls(
            current_version=data["current_version"],
            created_at=datetime.fromisoformat(data["created_time"]),
            versions={
                int(number): VersionState(
                    created_at=datetime.fromisoformat(state["created_time"]),
                    deleted_at=datetime.fromisoformat(state["deletion_time"]) if state["deletion_time"] else None,
                    is_destroyed=state["destroyed"],
                )
                for number, state in (data["versions"] or {}).items()
            },
            labels=data["custom_metadata"] or {},
        )
