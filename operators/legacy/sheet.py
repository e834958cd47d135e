"""Read the carrier-relations spreadsheet: each row's cells as typed values, or the rule that a cell breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import BinaryIO, Final, TypeVar

from django.core.exceptions import ValidationError

from operators.legacy import cells
from operators.legacy.lines import tidy
from operators.legacy.table import Record, Table

T = TypeVar("T")

# Title in the sheet, and the field it becomes in reports.
TITLES: Final = {
    "Operator": "name",
    "SMPP Host": "host",
    "Port": "port",
    "System ID": "systemId",
    "System Type": "systemType",
    "Bind": "bindType",
    "TPS": "maxTps",
    "Burst": "burstMultiplier",
    "On limit": "enforcementMode",
    "Status": "status",
    "Prefixes": "prefix",
    "Cost/SMS": "cost",
    "Currency": "currency",
    "MCC": "mcc",
    "MNC": "mnc",
    "Contact": "contact",
    "Notes": "notes",
}
# The others may be empty in every row, so that a sheet without them says the same.
REQUIRED: Final = frozenset({"name", "host", "port", "systemId", "bindType", "maxTps", "status", "prefix", "cost"})


@dataclass(frozen=True)
class Fault:
    """The field at fault and the rule it breaks; never the value."""

    field: str
    rule: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to bind and as whom, with the host as it is stored and compared."""

    host: str
    port: int
    system_id: str


@dataclass(frozen=True)
class Routes:
    """What the row says about destinations and price; empty where the cell is wrong."""

    prefixes: tuple[str, ...] = ()
    cost_per_segment: Decimal | None = None
    currency: str = ""
    mcc: str = ""
    mnc: str = ""


@dataclass(frozen=True)
class SheetRow:
    """One row: what its cells say, and every fault in the order of the sheet's columns.

    `name` is what the cell holds; `has_name` tells whether it can be an operator's. `endpoint` is None as soon as host,
    port or system_id is wrong. The remaining values are meaningless on a row with faults.
    """

    line: int
    name: str
    has_name: bool
    endpoint: Endpoint | None
    system_type: str
    bind_type: str
    max_tps: int
    burst_multiplier: Decimal
    enforcement_mode: str
    is_live: bool
    contacts: tuple[str, ...]
    notes: str
    routes: Routes
    faults: tuple[Fault, ...]


class Sheet:
    """Iterate over the sheet's rows, one at a time; raises UnusableFile where the file cannot be read."""

    def __init__(self, stream: BinaryIO, *, source: str = "the sheet") -> None:
        self._table = Table(stream, source=source, titles=TITLES, required=REQUIRED, delimiters=",;\t")
        self.missing = self._table.missing
        self.ignored = self._table.ignored
        self._order = self._table.order

    def __iter__(self) -> Iterator[SheetRow]:
        for record in self._table:
            yield read_row(record, self._order)


def read_row(record: Record, order: tuple[str, ...] = tuple(TITLES.values())) -> SheetRow:
    """Read one record; `order` is the order of the columns, in which its faults are told."""
    row = _Cells(record.cells)
    name = row.read("name", cells.read_name)
    host, url_port = row.read("host", cells.read_host) or (None, None)
    port = row.read("port", lambda text: cells.read_port(text, url_port=url_port))
    system_id = row.read("systemId", cells.read_system_id)
    mcc = row.read("mcc", cells.read_mcc)
    system_type = row.read("systemType", cells.read_system_type)
    bind_type = row.read("bindType", cells.read_bind_type)
    max_tps = row.read("maxTps", cells.read_max_tps)
    burst_multiplier = row.read("burstMultiplier", cells.read_burst)
    enforcement_mode = row.read("enforcementMode", cells.read_enforcement_mode)
    is_live = row.read("status", cells.read_is_live)
    contacts = row.read("contact", cells.read_contacts)
    notes = row.read("notes", cells.read_notes)
    routes = Routes(
        prefixes=row.read("prefix", cells.read_prefixes) or (),
        cost_per_segment=row.read("cost", cells.read_cost),
        currency=row.read("currency", cells.read_currency) or "",
        mcc=mcc or "",
        mnc=row.read("mnc", lambda text: cells.read_mnc(text, has_mcc=mcc != "")) or "",
    )
    if record.is_too_wide:
        row.faults.setdefault(order[-1], "The row has more cells than the header; is a comma without quotes in it?")
    return SheetRow(
        line=record.line,
        name=tidy(record.cells["name"]) if name is None else name,
        has_name=name is not None,
        endpoint=Endpoint(host, port, system_id) if host and port and system_id else None,
        system_type=system_type or "",
        bind_type=bind_type or "",
        max_tps=max_tps or 0,
        burst_multiplier=burst_multiplier or cells.DEFAULT_BURST,
        enforcement_mode=enforcement_mode or "",
        is_live=is_live or False,
        contacts=contacts or (),
        notes=notes or "",
        routes=routes,
        faults=tuple(Fault(field, row.faults[field]) for field in order if field in row.faults),
    )


class _Cells:
    def __init__(self, cells: Mapping[str, str]) -> None:
        self._cells = cells
        self.faults: dict[str, str] = {}

    def read(self, field: str, parse: Callable[[str], T]) -> T | None:
        """Return what the cell says, or None after noting the rule that it breaks."""
        try:
            return parse(tidy(self._cells.get(field, "")))
        except ValidationError as error:
            self.faults[field] = error.messages[0]
            return None
