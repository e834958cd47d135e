from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import phonenumbers
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from phonenumbers.carrierdata import CARRIER_DATA
from pytest_django import DjangoDbBlocker

from operators.models import AuditEntry
from routing import prefixes
from routing.models import DestinationPrefix
from routing.models.destination import Origin
from routing.numbering import REGIONS, NumberPattern, country_of
from tests.flushing import forget_trail

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def loaded(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Load the real metadata once; give what the command printed."""
    with django_db_blocker.unblock():
        out = StringIO()
        call_command("load_destination_prefixes", stdout=out)
        yield out.getvalue()
        DestinationPrefix.objects.all().delete()
        forget_trail()


def run(**options: Any) -> list[str]:
    out = StringIO()
    call_command("load_destination_prefixes", stdout=out, **options)
    return out.getvalue().splitlines()


def covering(number: str) -> DestinationPrefix:
    found = DestinationPrefix.objects.covering(number).first()
    assert found is not None
    return found


def test_it_loads_every_code_and_carrier_range(loaded: str) -> None:
    stored = set(DestinationPrefix.objects.values_list("prefix", flat=True))

    assert {f"+{code}" for code in REGIONS} <= stored
    assert {f"+{digits}" for digits in CARRIER_DATA} <= stored
    assert f"{len(stored):,} prefixes" in loaded
    assert f"inserted {len(stored):,}, updated 0, deleted 0" in loaded
    assert not DestinationPrefix.objects.exclude(origin=Origin.REFERENCE, updated_by=prefixes.SOURCE).exists()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_type, entry.object_id) == ("load", "destination_prefix", prefixes.SOURCE)
    assert entry.changes == {"inserted": [None, len(stored)], "updated": [None, 0], "deleted": [None, 0]}


@pytest.mark.parametrize(
    ("number", "prefix", "country", "network"),
    [
        ("+442071234567", "+44", "GB", ""),
        ("+447911012345", "+4479110", "GB", "Marathon Telecom"),
        ("+447911123456", "+4479111", "GG", "JT"),
        ("+447911223456", "+4479112", "GB", "Sure"),
        ("+441534456789", "+441534", "JE", ""),
        ("+447797712345", "+447797", "JE", "JT"),
        ("+441624756789", "+441624", "IM", ""),
        ("+12025550123", "+1", "US", ""),
        ("+18005550123", "+1", "US", ""),
        ("+14165550123", "+1416", "CA", ""),
        ("+12423591234", "+1242359", "BS", "BaTelCo"),
        ("+12423021234", "+1242", "BS", ""),
        ("+74951234567", "+7", "RU", ""),
        ("+79004051234", "+7900405", "RU", "Tele2"),
        ("+77011234567", "+7701", "KZ", "Kcell/Activ"),
        ("+77172123456", "+77", "KZ", ""),
        ("+390612345678", "+39", "IT", ""),
        ("+390669812345", "+3906698", "VA", ""),
        ("+35818123456", "+35818", "AX", ""),
        ("+590590271234", "+59059027", "BL", ""),
        ("+262269601234", "+262269", "YT", ""),
        ("+5993181234", "+5993181", "BQ", "Telcell"),
        ("+2478123", "+247", "SH", ""),
        ("+38344123456", "+38344", "XK", "vala"),
        ("+80012345678", "+800", "", ""),
        ("+870301234567", "+870", "", ""),
    ],
)
def test_it_knows_whose_number_it_is(loaded: str, number: str, prefix: str, country: str, network: str) -> None:
    found = covering(number)

    assert (found.prefix, found.country, found.network) == (prefix, country, network)


def test_it_agrees_with_the_package_about_every_example_number(loaded: str) -> None:
    countries = dict(DestinationPrefix.objects.values_list("prefix", "country"))
    compared = 0
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
            if (example := phonenumbers.example_number_for_type(region, kind)) is None:
                continue
            number = phonenumbers.format_number(example, PhoneNumberFormat.E164)
            found = next(countries[number[:end]] for end in range(len(number), 1, -1) if number[:end] in countries)
            assert found == country_of(phonenumbers.region_code_for_number(example) or ""), number
            compared += 1
    assert compared > 450


def test_it_names_an_mcc_only_where_it_is_certain(loaded: str) -> None:
    def network(number: str) -> tuple[str, str]:
        found = covering(number)
        return found.mcc, found.mnc

    assert network("+33612345678")[0] == "208", "the only one of France"
    assert network("+12423591234") == ("364", "39"), "one network of this name"
    assert network("+491512345678") == ("262", ""), "T-Mobile has several codes in Germany"
    assert network("+447911012345") == ("234", "28"), "two codes in the country, one network of this name"
    assert network("+442071234567") == ("", ""), "two codes in the country"
    assert network("+800123456789") == ("", "")


def test_it_writes_nothing_the_second_time(loaded: str) -> None:
    before = list(DestinationPrefix.objects.order_by("id").values_list("id", "version", "updated_at"))

    assert run()[1:] == ["nothing to change"]

    assert list(DestinationPrefix.objects.order_by("id").values_list("id", "version", "updated_at")) == before
    assert prefixes.is_loaded()


def test_it_mends_its_own_rows_and_keeps_those_of_staff(loaded: str) -> None:
    rows = DestinationPrefix.objects
    rows.filter(prefix="+1242").update(country="US")
    rows.filter(prefix="+77").delete()
    rows.filter(prefix="+33").update(country="DE", origin=Origin.STAFF)
    rows.filter(prefix="+49").update(prefix="+99999")

    for dry_run in (True, False):
        lines = run(dry_run=dry_run)
        assert lines[1:3] == ["inserted 2, updated 1, deleted 1", "left as staff made them: 1"]
        assert ("Dry run: nothing was changed." in lines) is dry_run
        assert rows.filter(prefix="+99999").exists() is dry_run

    assert rows.get(prefix="+1242").country == "BS"
    assert rows.get(prefix="+1242").version == 2
    assert rows.get(prefix="+33").country == "DE"
    assert rows.filter(prefix__in=("+77", "+49")).count() == 2


def test_it_says_that_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object) -> None:
        raise OperationalError("secret host name")

    monkeypatch.setattr(connection, "ensure_connection", away)
    monkeypatch.setattr(connection, "cursor", away)

    with pytest.raises(CommandError, match=r"^The database does not answer; nothing was changed\. Run it again\.$"):
        run()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("T-Mobile", "t mobile"),
        ("Vtr Banda Ancha (Chile) S.A.", "VTR Banda Ancha Chile"),
        ("Telefónica Móviles", "TELEFONICA MOVILES"),
        ("Wind Telecom S.p.A.", "Wind Telecom"),
        ("Safaricom Ltd.", "Safaricom PLC"),
    ],
)
def test_it_takes_two_spellings_for_one_network(one: str, other: str) -> None:
    assert prefixes.plain_name(one) == prefixes.plain_name(other)


def test_it_keeps_apart_what_is_not_the_same() -> None:
    assert prefixes.plain_name("Orange") != prefixes.plain_name("Orange Business")
    assert prefixes.plain_name("SA Ltd"), "a name of legal forms alone stays a name"


@pytest.mark.parametrize(
    ("pattern", "begins", "never"),
    [
        ("12", ["", "1", "12"], ["2", "11", "123"]),
        (r"1\d{2}[5-79]", ["1", "100", "1006", "1009"], ["1008", "10060"]),
        ("(?:16|7[56])24", ["16", "7624"], ["17", "162424"]),
        (r"7(?:0\d?|1{2,3})", ["70", "705", "7111"], ["7055", "72", "71111"]),
        (r"1(?:23)?4", ["14", "1234"], ["13", "124"]),
    ],
)
def test_it_tells_how_matches_of_a_pattern_begin(pattern: str, begins: list[str], never: list[str]) -> None:
    read = NumberPattern(pattern)

    def is_beginning(text: str) -> bool:
        states = read.start
        for digit in text:
            states = read.step(states, digit)
        return bool(states)

    assert [text for text in begins if not is_beginning(text)] == []
    assert [text for text in never if is_beginning(text)] == []


def test_it_refuses_a_pattern_that_it_cannot_read() -> None:
    with pytest.raises(ValueError, match="no reading"):
        NumberPattern("12.5")
