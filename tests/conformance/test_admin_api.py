"""The admin API against its own OpenAPI description: thousands of generated requests, all checks of schemathesis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

if TYPE_CHECKING:
    import schemathesis

    from tests.conformance.described import Described

SETTINGS: Final = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
# Beside some sixty fixed cases per operation, at and beyond the limits of each parameter and field.
BRIEFLY: Final = settings(SETTINGS, max_examples=3, derandomize=True)
AT_LENGTH: Final = settings(SETTINGS, max_examples=100)
# Of the requests that keep the schema, this part at least is to be answered with what was asked for; the rest meets
# nothing, a conflict, the clock or, for sheets, a file that is none.
TAGS: Final = {
    "Operators": 0.3,
    "Health": 0.15,
    "Destination prefixes": 0.3,
    "Routing rules": 0.3,
    "Routes": 0.3,
    "Rate sheets": 0.05,
}


@pytest.fixture(scope="module")
def described() -> Described:
    from tests.conformance.described import described_admin

    return described_admin()


@pytest.fixture
def schema(described: Described) -> Iterator[schemathesis.BaseSchema]:
    """Keep the test's transaction through the requests, as Django's own test client does."""
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    described.forget()
    yield described.schema
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


def operations(schema: schemathesis.BaseSchema) -> list[schemathesis.APIOperation[Any, Any, Any, Any]]:
    # Imported late, for it takes seconds, and not for every worker.
    from schemathesis.core.result import Ok

    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


def ask_everything(schema: schemathesis.BaseSchema, limits: settings) -> None:
    """Try each operation, and tell of all that fail."""
    from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test

    from tests.conformance.described import check

    failures, modes = [], list(HypothesisTestMode)
    for operation in operations(schema):
        config = HypothesisTestConfig(project=schema.config, modes=modes, settings=limits)
        try:
            create_test(operation=operation, test_func=check, config=config)()
        except Exception as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup("the API does not do what its description says", failures)


@pytest.mark.parametrize("tag", TAGS)
def test_it_does_what_its_description_says(
    db: None, described: Described, schema: schemathesis.BaseSchema, tag: str
) -> None:
    ask_everything(schema.include(tag=tag), BRIEFLY)
    assert sum(described.statuses.values()) > 50
    assert described.share_of_successes() > TAGS[tag], described.wanted


@pytest.mark.faults
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("tag", TAGS)
def test_it_does_so_for_long(db: None, schema: schemathesis.BaseSchema, tag: str) -> None:
    ask_everything(schema.include(tag=tag), AT_LENGTH)


def test_it_asks_about_every_operation(described: Described) -> None:
    tags = {tag for operation in operations(described.schema) for tag in operation.definition.raw["tags"]}
    assert tags == set(TAGS)


def walk(schema: schemathesis.BaseSchema, *, walks: int, steps: int) -> None:
    """Make things, use them and delete them, each request with what the ones before it have answered.

    Each walk begins with the same rows, for it is tried again when it is made shorter, and has to go the same way then.
    """

    class Walk(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self._around = transaction.atomic()
            self._around._from_testcase = True  # type: ignore[attr-defined]  # as Django's own, so that a durable block may stand inside
            self._around.__enter__()

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self._around.__exit__(None, None, None)

    run_state_machine_as_test(
        Walk,
        settings=settings(SETTINGS, max_examples=walks, stateful_step_count=steps, derandomize=walks < 50),
    )


def test_it_serves_what_was_made_and_forgets_what_was_deleted(
    db: None, described: Described, schema: schemathesis.BaseSchema
) -> None:
    walk(schema, walks=8, steps=8)
    assert sum(described.statuses.values()) > 50
    assert described.share_of_successes() > 0.1, described.wanted


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_it_does_so_on_long_ways(db: None, schema: schemathesis.BaseSchema) -> None:
    walk(schema, walks=100, steps=15)
