"""The spreadsheet's reader: what it tolerates, what it refuses, and with which words."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.legacy.lines import MAX_LINE, UnusableFile
from operators.legacy.sheet import TITLES, Endpoint, Sheet, SheetRow
from operators.models import Operator
from tests.legacy_files import GOOD, as_csv, sheet

NBSP = "\u00a0"
cell = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
ascii_characters = st.characters(codec="ascii", exclude_characters="\0")


def read(data: bytes) -> list[SheetRow]:
    return list(Sheet(io.BytesIO(data)))


def read_one(**cells: str) -> SheetRow:
    (row,) = read(sheet(cells))
    return row


def test_it_reads_a_good_row() -> None:
    (row,) = read(sheet({}))
    assert row.faults == ()
    assert (row.line, row.name, row.endpoint) == (
        2,
        "Comium +22",
        Endpoint("smpp4.comium22.example", 3550, "comium_80"),
    )
    assert (row.bind_type, row.max_tps, row.burst_multiplier, row.enforcement_mode) == (
        "RECEIVER",
        10,
        Decimal(2),
        "HARD_REJECT",
    )
    assert row.is_live is False
    assert (row.contacts, row.notes) == (("noc@comium.example",), "peak hours only")
    assert (row.routes.prefixes, row.routes.cost_per_segment, row.routes.currency) == (
        ("+2206", "+22084"),
        Decimal("0.04906"),
        "GBP",
    )


@pytest.mark.parametrize(
    ("title", "text", "attribute", "value"),
    [
        ("Operator", f"{NBSP} BWS{NBSP}+30\u200b ", "name", "BWS +30"),
        ("System Type", " SMPP ", "system_type", "SMPP"),
        ("Bind", "trx", "bind_type", "TRANSCEIVER"),
        ("Bind", "Transmitter", "bind_type", "TRANSMITTER"),
        ("Bind", "RECEIVER", "bind_type", "RECEIVER"),
        ("TPS", "100/s", "max_tps", 100),
        ("TPS", "100 / S", "max_tps", 100),
        ("TPS", "1,000", "max_tps", 1000),
        ("TPS", "1,000,000/s", "max_tps", 1_000_000),
        ("Burst", "", "burst_multiplier", Decimal("1.50")),
        ("Burst", "1,25", "burst_multiplier", Decimal("1.25")),
        ("On limit", "Throttle", "enforcement_mode", "SOFT_THROTTLE"),
        ("On limit", "REJECT", "enforcement_mode", "HARD_REJECT"),
        ("Status", " LIVE", "is_live", True),
        ("Status", "testing", "is_live", False),
        ("Status", "", "is_live", False),
        ("Contact", "a@x.example; +44 20 7946 0000\n", "contacts", ("a@x.example", "+44 20 7946 0000")),
        ("Notes", "one\r\ntwo", "notes", "one\ntwo"),
    ],
)
def test_it_tolerates_how_people_write(title: str, text: str, attribute: str, value: object) -> None:
    row = read_one(**{title: text})
    assert row.faults == ()
    assert getattr(row, attribute) == value


@pytest.mark.parametrize(
    ("title", "text", "attribute", "value"),
    [
        ("Prefixes", "+2206;;+22084 ; +2206;", "prefixes", ("+2206", "+22084")),
        ("Cost/SMS", "0,049", "cost_per_segment", Decimal("0.049")),
        ("Cost/SMS", "0", "cost_per_segment", Decimal(0)),
        ("Currency", "usd", "currency", "USD"),
        ("Currency", "", "currency", "USD"),
        ("MCC", "621", "mcc", "621"),
    ],
)
def test_it_keeps_the_routes_that_the_row_names(title: str, text: str, attribute: str, value: object) -> None:
    row = read_one(**{title: text})
    assert row.faults == ()
    assert getattr(row.routes, attribute) == value


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("SMPP.Carrier.example.", "", ("smpp.carrier.example", 2775)),
        ("smpp://smpp.carrier.example:8056", "8056", ("smpp.carrier.example", 8056)),
        ("smpp://smpp.carrier.example:8056/", "", ("smpp.carrier.example", 8056)),
        ("SMPP://smpp.carrier.example", "", ("smpp.carrier.example", 2775)),
        ("smpp://[2001:DB8::1]:3000", "", ("2001:db8::1", 3000)),
        ("2001:db8:0:0::1", "2776", ("2001:db8::1", 2776)),
        ("192.0.2.7", "02776", ("192.0.2.7", 2776)),
    ],
)
def test_it_finds_host_and_port(host: str, port: str, expected: tuple[str, int]) -> None:
    row = read_one(**{"SMPP Host": host, "Port": port})
    assert row.endpoint is not None
    assert (row.endpoint.host, row.endpoint.port) == expected


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"Operator": " "}, "name"),
        ({"Operator": "x" * 129}, "name"),
        ({"Operator": "two\nlines"}, "name"),
        ({"SMPP Host": ""}, "host"),
        ({"SMPP Host": "https://carrier.example"}, "host"),
        ({"SMPP Host": "carrier.example:2775"}, "host"),
        ({"SMPP Host": "smpp://carrier.example:2775/path"}, "host"),
        ({"SMPP Host": "smpp://user:pw@carrier.example"}, "host"),
        ({"SMPP Host": "smpp://carrier.example:77000"}, "host"),
        ({"SMPP Host": "smpp://carrier.example:0"}, "host"),
        ({"SMPP Host": "smpp://carr\nier.example"}, "host"),
        ({"SMPP Host": "smpp://[2001:db8::1"}, "host"),
        ({"SMPP Host": "smpp://carrier.example:8056", "Port": "2775"}, "port"),
        ({"Port": "0"}, "port"),
        ({"Port": "65536"}, "port"),
        ({"Port": "2775.0"}, "port"),
        ({"Port": "\u0662\u0667"}, "port"),
        ({"System ID": ""}, "systemId"),
        ({"System ID": "sixteen_chars_id"}, "systemId"),
        ({"System ID": "käse"}, "systemId"),
        ({"System Type": "thirteen_char"}, "systemType"),
        ({"Bind": ""}, "bindType"),
        ({"Bind": "TX/RX"}, "bindType"),
        ({"TPS": ""}, "maxTps"),
        ({"TPS": "0"}, "maxTps"),
        ({"TPS": "-5"}, "maxTps"),
        ({"TPS": "10.5"}, "maxTps"),
        ({"TPS": "1,00"}, "maxTps"),
        ({"TPS": "1.000"}, "maxTps"),
        ({"TPS": "100/min"}, "maxTps"),
        ({"TPS": "3000000000"}, "maxTps"),
        ({"Burst": "0.99"}, "burstMultiplier"),
        ({"Burst": "1.255"}, "burstMultiplier"),
        ({"Burst": "lots"}, "burstMultiplier"),
        ({"On limit": "drop"}, "enforcementMode"),
        ({"Status": "paused"}, "status"),
        ({"Prefixes": " ; "}, "prefix"),
        ({"Prefixes": "+2206, +2207"}, "prefix"),
        ({"Prefixes": "+2206; 0044"}, "prefix"),
        ({"Prefixes": "+0123"}, "prefix"),
        ({"Prefixes": "+1234567890123456"}, "prefix"),
        ({"Cost/SMS": ""}, "cost"),
        ({"Cost/SMS": "-0.01"}, "cost"),
        ({"Cost/SMS": "$0.01"}, "cost"),
        ({"Cost/SMS": "1e-3"}, "cost"),
        ({"Cost/SMS": "NaN"}, "cost"),
        ({"Cost/SMS": "0.0000001"}, "cost"),
        ({"Cost/SMS": "1,000.5"}, "cost"),
        ({"Currency": "EURO"}, "currency"),
        ({"Currency": "QQQ"}, "currency"),
        ({"MCC": "62"}, "mcc"),
        ({"MNC": "01"}, "mnc"),
        ({"MCC": "621", "MNC": "1"}, "mnc"),
        ({"Contact": "x" * 201}, "contact"),
        ({"Contact": "x;" * 51}, "contact"),
        ({"Notes": "x" * 10_001}, "notes"),
    ],
)
def test_it_names_the_field_at_fault(cells: dict[str, str], field: str) -> None:
    row = read_one(**cells)
    assert [fault.field for fault in row.faults] == [field]
    assert row.faults[0].rule.endswith(".")


def test_it_tells_faults_in_the_order_of_the_columns_of_this_very_sheet() -> None:
    cells = GOOD | {"TPS": "0", "Currency": "EURO", "Port": "x"}
    assert [fault.field for fault in read(sheet(cells))[0].faults] == ["port", "maxTps", "currency"]
    turned = list(reversed(cells))
    data = as_csv([turned, [cells[title] for title in turned]])
    assert [fault.field for fault in read(data)[0].faults] == ["currency", "maxTps", "port"]


def test_it_reads_every_separator_newline_order_and_case_alike() -> None:
    plain = read(sheet({}, {"Operator": "Zweite"}))
    for delimiter in ",;\t":
        for newline in ("\n", "\r\n", "\r"):
            assert read(sheet({}, {"Operator": "Zweite"}, delimiter=delimiter, newline=newline)) == plain
    assert read(b"\xef\xbb\xbf" + sheet({}, {"Operator": "Zweite"})) == plain
    shouted = as_csv([[f" {title.upper()} " for title in GOOD] + ["Owner"], [*GOOD.values(), "Ann"]])
    assert read(shouted) == plain[:1]
    assert Sheet(io.BytesIO(shouted)).ignored == ("Owner",)


def test_it_counts_lines_as_an_editor_does() -> None:
    data = b"\r\n" + sheet({"Notes": "two\nlines"}, {"Operator": "B"}) + b"\r\n,,,,,,,,,,,,,,,,\r\n" + sheet({})[-40:]
    rows = read(data)
    assert [row.line for row in rows] == [3, 5, 8]


def test_it_fails_a_row_that_is_wider_than_the_header_and_fills_a_shorter_one() -> None:
    header, good = list(GOOD), list(GOOD.values())
    (wide,) = read(as_csv([header, [*good, "after a comma"]]))
    assert [fault.field for fault in wide.faults] == ["notes"]
    (spread,) = read(as_csv([header, [*good, "", ""]]))
    assert spread.faults == ()
    (short,) = read(as_csv([header, good[:13]]))
    assert short.faults == () and short.notes == ""
    (stump,) = read(as_csv([header, good[:3]]))
    assert stump.faults[0].field == "systemId"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n \r\n", "is empty"),
        (b"PK\x03\x04\x00\x00", "line 1 is not UTF-8 text"),
        (sheet({"Notes": "x"}) + "Café".encode("cp1252"), "line 3 is not UTF-8 text"),
        ("Operator".encode("utf-16"), "line 1 is not UTF-8 text"),
        (sheet({}) + b"a\0b", "line 3 is not UTF-8 text"),
        (sheet({}) + b"x" * (MAX_LINE + 5), "line 3 has more than 1,000,000 characters"),
        (sheet({}) + b'"never closed', "begins on line 3, the quotation marks do not pair"),
        (sheet({}) + b'"closed"too early,', "begins on line 3, the quotation marks do not pair"),
        (sheet({}) + b'"open,\n' + b"x,\n" * 70_000, "begins on line 3, a cell has more than 131,072 characters"),
        (b"Operator,Port\nx,1", "lacks the columns SMPP Host, System ID, Bind, TPS, Status, Prefixes, Cost/SMS"),
        (as_csv([[*GOOD, "port"], [*GOOD.values(), "1"]]), "names the column “port” twice"),
    ],
)
def test_it_refuses_a_file_that_it_cannot_read_for_certain(data: bytes, told: str) -> None:
    with pytest.raises(UnusableFile, match=told):
        read(data)


def test_it_streams_however_long_the_sheet_is() -> None:
    class Endless(io.BytesIO):
        """A sheet without an end; whoever reads it whole never returns."""

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None and size > 0
            data = super().read(size)
            if len(data) < size:
                self.seek(len(sheet()))
                data += super().read(size - len(data))
            return data

    rows = iter(Sheet(Endless(sheet({}, {"Operator": "B"}))))
    assert [next(rows).name for _ in range(1000)][-1] == "B"


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(TITLES, cell)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_it_reads_or_refuses_any_cells_and_never_fails(rows: list[dict[str, str]]) -> None:
    for row in read(sheet(*rows)):
        assert row.faults or row.endpoint
        assert {fault.field for fault in row.faults} <= set(TITLES.values())


@given(st.binary(max_size=400))
@settings(deadline=None, max_examples=60)
def test_it_reads_or_refuses_any_bytes_and_never_fails(tail: bytes) -> None:
    try:
        rows = read(sheet({}) + tail)
    except UnusableFile as error:
        assert "line " in str(error)
    else:
        assert rows[0].name == GOOD["Operator"]


@given(
    name=cell,
    system_id=st.text(ascii_characters, max_size=17),
    system_type=st.text(ascii_characters, max_size=14),
    port=st.integers(-1, 70_000),
    tps=st.integers(-1, 2**32),
    burst=st.decimals(0, 99_999, places=2),
)
@settings(deadline=None, max_examples=100)
def test_it_lets_nothing_pass_that_the_operator_itself_refuses(
    name: str, system_id: str, system_type: str, port: int, tps: int, burst: Decimal
) -> None:
    row = read_one(
        **{
            "Operator": name,
            "System ID": system_id,
            "System Type": system_type,
            "Port": str(port),
            "TPS": str(tps),
            "Burst": str(burst),
        }
    )
    if row.faults:
        return
    assert row.endpoint is not None
    values = {
        "name": row.name,
        "host": row.endpoint.host,
        "port": row.endpoint.port,
        "system_id": row.endpoint.system_id,
        "system_type": row.system_type,
        "max_tps": row.max_tps,
        "burst_multiplier": row.burst_multiplier,
    }
    operator = Operator(**values)
    operator.normalize()
    try:
        operator.clean_fields(exclude=[field.name for field in Operator._meta.fields if field.name not in values])
    except ValidationError as error:
        pytest.fail(f"the sheet accepts what the model refuses: {error}")
    assert {name: getattr(operator, name) for name in values} == values
