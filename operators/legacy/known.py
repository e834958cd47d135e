"""The names and endpoints that are taken, by operators that exist and by rows of the sheet before this one."""

from __future__ import annotations

from typing import Self

from operators.legacy.sheet import Endpoint, SheetRow
from operators.models import Operator


class Known:
    """Remember in memory who has which name and endpoint; about 300 bytes an operator.

    A real run and a dry run ask it alike, so that both say the same. What another process creates meanwhile it does
    not see; the action and the database's constraints do.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._endpoints: dict[Endpoint, str] = {}

    @classmethod
    def from_database(cls) -> Self:
        known = cls()
        operators = Operator.objects.live().order_by().values_list("name", "host", "port", "system_id")
        for name, host, port, system_id in operators.iterator():
            known._add(f"“{name}”", name, Endpoint(host, port, system_id))
        return known

    def add(self, row: SheetRow) -> None:
        assert row.endpoint is not None
        self._add(f"“{row.name}” (line {row.line})", row.name, row.endpoint)

    def duplicate(self, row: SheetRow) -> str:
        """Say who already has the row's name or endpoint, as far as these are valid; nothing when nobody has."""
        if row.endpoint is not None and (owner := self._endpoints.get(row.endpoint)):
            return f"{owner} already has this host, port and systemId."
        if row.has_name and (owner := self._names.get(row.name.lower())):
            return f"{owner} already has this name."
        return ""

    def _add(self, owner: str, name: str, endpoint: Endpoint) -> None:
        self._names[name.lower()] = owner
        self._endpoints[endpoint] = owner
