from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from deploy.dev.postgres import Postgres
from operators import prepared

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = "SELECT number, %s::text FROM generate_series(1, %s::int) AS number"
PID = "SELECT pg_backend_pid()"


@pytest.fixture(autouse=True)
def fresh_connection() -> Iterator[None]:
    yield
    connection.close()


def end_session() -> None:
    """End this thread's session from another one, as a server does that restarts."""
    [(pid,)] = prepared.fetch(PID, ())
    parameters = {
        name: value
        for name, value in connection.get_connection_params().items()
        if name not in ("cursor_factory", "context", "prepare_threshold")
    }
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_it_reads_rows_by_a_statement_that_the_server_keeps() -> None:
    assert prepared.fetch(NUMBERS, ("a", 2)) == [(1, "a"), (2, "a")]
    assert prepared.fetch(NUMBERS, ("b", 1)) == [(1, "b")]
    [(kept,)] = prepared.fetch("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", ("%generate%",))
    assert kept == 1


def test_it_reads_once_more_where_the_connection_is_gone() -> None:
    end_session()
    assert prepared.fetch(NUMBERS, ("a", 1)) == [(1, "a")]


def test_it_does_not_repeat_what_changes_something() -> None:
    end_session()
    with pytest.raises(OperationalError):
        prepared.execute(NUMBERS, ("a", 1))
    prepared.execute(NUMBERS, ("a", 1))


def test_it_does_not_hide_that_a_transaction_is_lost() -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        end_session()
        prepared.fetch(NUMBERS, ("a", 1))
    assert prepared.fetch(NUMBERS, ("a", 1)) == [(1, "a")]


def test_it_raises_what_django_raises_and_keeps_the_connection() -> None:
    [before] = prepared.fetch(PID, ())
    with pytest.raises(DatabaseError, match="division by zero"):
        prepared.fetch("SELECT 1 / %s::int", (0,))
    assert prepared.fetch(PID, ()) == [before]


def test_each_thread_has_a_connection_of_its_own() -> None:
    found = []

    def ask() -> None:
        found.extend(prepared.fetch(PID, ()))
        connection.close()

    thread = Thread(target=ask)
    thread.start()
    thread.join()
    assert found
    assert found != prepared.fetch(PID, ())


def test_it_gives_up_on_a_server_that_is_frozen(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "SECONDS", 0.5)
    prepared.fetch(PID, ())
    postgres_server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(OperationalError):
            prepared.fetch(PID, ())
        assert time.monotonic() - began < 2
    finally:
        postgres_server.resume()
    assert prepared.fetch(NUMBERS, ("a", 1)) == [(1, "a")]


def test_it_takes_values_by_name_also_twice_and_of_different_types() -> None:
    statement = "SELECT %(a)s::bigint, %(b)s::text[], %(a)s::bigint + 1, '%%'::text"
    assert prepared.fetch(statement, {"a": 7, "b": ["x", None], "unused": 1}) == [(7, ["x", None], 8, "%")]
    assert prepared.fetch(statement, {"a": 2**40, "b": []}) == [(2**40, [], 2**40 + 1, "%")]
    assert prepared.fetch(statement, {"a": None, "b": None}) == [(None, None, None, "%")]


def test_it_is_part_of_the_transaction_around_it() -> None:
    prepared.execute("CREATE TEMPORARY TABLE kept (number int)")
    with pytest.raises(RuntimeError), transaction.atomic():
        prepared.execute("INSERT INTO kept VALUES (%s::int)", (1,))
        assert prepared.fetch("SELECT number FROM kept", ()) == [(1,)]
        raise RuntimeError
    assert prepared.fetch("SELECT number FROM kept", ()) == []


def test_it_prepares_anew_what_somebody_has_made_the_server_forget() -> None:
    prepared.fetch(NUMBERS, ("a", 1))
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert prepared.fetch(NUMBERS, ("a", 1)) == [(1, "a")]


def test_it_lets_the_server_keep_so_many_statements_and_no_more() -> None:
    for number in range(prepared.MOST_STATEMENTS + 5):
        assert prepared.fetch(f"SELECT {number}, %s::text", ("a",)) == [(number, "a")]
    assert prepared.fetch("SELECT 0, %s::text", ("b",)) == [(0, "b")]
    [(kept,)] = prepared.fetch("SELECT count(*) FROM pg_prepared_statements", ())
    assert 5 <= kept <= 10
