"""The tables of health come to a database that has operators already, and go again."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from health.models import HealthStatus
from tests.factories import make_operator


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("target", ["zero", "0002"], ids=["tables_gone", "statuses_kept"])
def test_it_gives_each_operator_that_exists_its_status_and_can_be_taken_back(target: str) -> None:
    operator = make_operator()
    call_command("migrate", "health", target, verbosity=0)

    call_command("migrate", verbosity=0)

    assert HealthStatus.objects.get().pk == operator.pk
