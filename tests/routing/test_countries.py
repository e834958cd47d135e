"""The guard over country and MCC, with the reference data that it works on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from routing import guards
from routing.models import DestinationPrefix, RoutingRule
from routing.networks import countries_of_mcc, mccs_of_country
from routing.prefixes import load_reference
from tests.flushing import forget_trail

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def loaded(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        load_reference()
        yield
        DestinationPrefix.objects.all().delete()
        forget_trail()


def refused(prefix: str, mcc: str) -> list[str]:
    return [problem.field for problem in guards.country_problems(RoutingRule(prefix=prefix, mcc=mcc))]


@pytest.mark.parametrize(
    ("prefix", "mcc"),
    [
        ("+1", "310"),
        ("+1", "302"),
        ("+1", "364"),
        ("+1416", "302"),
        ("+1416555", "302"),
        ("+1202", "310"),
        ("+1787", "310"),
        ("+1787", "330"),
        ("+1340", "310"),
        ("+1242", "364"),
        ("+1242357", "364"),
        ("+7", "250"),
        ("+7", "401"),
        ("+77", "401"),
        ("+7701", "401"),
        ("+79", "250"),
        ("+44", "234"),
        ("+44", "235"),
        ("+447911", "234"),
        ("+4479111", "234"),
        ("+447797", "234"),
        ("+39", "222"),
        ("+39", "225"),
        ("+393", "222"),
        ("+590", "340"),
        ("+590690", "340"),
        ("+59059027", "340"),
        ("+262", "647"),
        ("+262692", "647"),
        ("+262639", "647"),
        ("+4779", "242"),
        ("+6189162", "505"),
        ("+358", "244"),
        ("+599", "362"),
        ("+383", "221"),
        ("+247", "658"),
        ("+870", "901"),
        ("+1", "312"),
    ],
)
def test_it_takes_the_mcc_of_a_country_that_shares_the_code(prefix: str, mcc: str) -> None:
    assert refused(prefix, mcc) == []


@pytest.mark.parametrize(
    ("prefix", "mcc"),
    [
        ("+1416", "310"),
        ("+1202", "302"),
        ("+1242", "310"),
        ("+1", "234"),
        ("+77", "250"),
        ("+79", "401"),
        ("+44", "262"),
        ("+447797", "262"),
        ("+39", "262"),
        ("+590", "647"),
        ("+262", "340"),
        ("+49", "234"),
    ],
)
def test_it_refuses_the_mcc_of_another_country(prefix: str, mcc: str) -> None:
    assert refused(prefix, mcc) == ["mcc"]


def test_it_names_the_countries_that_share_a_prefix() -> None:
    assert guards.countries_of_prefix("+44") == {"GB", "GG", "IM", "JE"}
    assert guards.countries_of_prefix("+7") == {"RU", "KZ"}
    assert guards.countries_of_prefix("+262") == {"RE", "YT"}
    assert guards.countries_of_prefix("+590") == {"GP", "BL", "MF"}
    assert guards.countries_of_prefix("+1416") == {"CA"}
    assert {"US", "CA", "BS", "PR", "JM"} <= guards.countries_of_prefix("+1")
    assert guards.countries_of_prefix("+870") == frozenset()


def test_it_knows_the_mccs_of_a_country() -> None:
    assert mccs_of_country("GB") == {"234", "235"}
    assert mccs_of_country("XK") == {"221"}
    assert mccs_of_country("AQ") == frozenset()
    assert all(country in countries_of_mcc(mcc) for country in ("US", "IN") for mcc in mccs_of_country(country))
