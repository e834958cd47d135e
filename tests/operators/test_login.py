"""When a login is made, renewed and given up; that it works on Vault is in tests/integration/test_vault_login.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from operators import login
from operators.deadlines import deadline
from operators.errors import VaultUnavailable
from operators.login import Grant, Login


class Store:
    """Play Vault's part of a login: count, wait and fail as told."""

    def __init__(self, *, seconds: float = 3600, renewed_seconds: float | None = None) -> None:
        self.entered = self.renewed = 0
        self.seconds = seconds
        self.renewed_seconds = seconds if renewed_seconds is None else renewed_seconds
        self.refuses_renewal = self.refuses_login = False
        self.answers = threading.Event()
        self.answers.set()

    def enter(self) -> Grant:
        self.entered += 1
        self.answers.wait(5)
        if self.refuses_login:
            raise RuntimeError("no")
        return Grant(seconds=self.seconds, is_renewable=True)

    def renew(self) -> Grant:
        self.renewed += 1
        self.answers.wait(5)
        if self.refuses_renewal:
            raise RuntimeError("no")
        return Grant(seconds=self.renewed_seconds, is_renewable=True)

    def login(self, *, can_enter_again: bool = True) -> Login:
        return Login(enter=self.enter, renew=self.renew, can_enter_again=can_enter_again)


def started(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.05)
    return thread


def test_it_logs_in_once_for_many_threads() -> None:
    store = Store()
    mine = store.login()

    with ThreadPoolExecutor(8) as pool:
        serials = {future.result() for future in [pool.submit(mine.ensure) for _ in range(40)]}

    assert (store.entered, serials) == (1, {1})


def test_it_lets_others_go_on_with_the_old_token_while_one_renews() -> None:
    store = Store(seconds=1)
    mine = store.login()
    mine.ensure()
    time.sleep(0.55)
    store.answers.clear()
    renewing = started(mine.ensure)

    asked_at = time.monotonic()
    mine.ensure()
    waited = time.monotonic() - asked_at
    store.answers.set()
    renewing.join()

    assert waited < 0.2
    assert store.renewed == 1


def test_it_waits_for_the_first_login_no_longer_than_the_deadline() -> None:
    store = Store()
    store.answers.clear()
    mine = store.login()
    entering = started(mine.ensure)
    try:
        with deadline(0.1), pytest.raises(VaultUnavailable):
            mine.ensure()
        with deadline(0.1):
            assert not mine.again(0)
    finally:
        store.answers.set()
        entering.join()


def test_it_keeps_a_good_token_when_renewal_fails_and_tries_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "RETRY_SECONDS", 0.2)
    store = Store(seconds=2)
    mine = store.login(can_enter_again=False)
    mine.ensure()
    store.refuses_renewal = True
    time.sleep(1.05)

    assert [mine.ensure() for _ in range(5)] == [1] * 5
    assert store.renewed == 1
    time.sleep(0.25)
    mine.ensure()
    assert store.renewed == 2


def test_it_does_not_wait_beyond_the_end_of_a_token() -> None:
    store = Store(seconds=0.4)
    mine = store.login(can_enter_again=False)
    mine.ensure()
    store.refuses_renewal = True
    time.sleep(0.25)
    mine.ensure()
    time.sleep(0.2)

    mine.ensure()

    assert store.entered == 2


def test_it_logs_in_anew_when_a_renewal_is_refused_or_grants_little() -> None:
    for refused, granted in ((True, 1.0), (False, 0.1), (False, 0.0)):
        store = Store(seconds=1, renewed_seconds=granted)
        store.refuses_renewal = refused
        mine = store.login()
        mine.ensure()
        time.sleep(0.55)

        assert mine.ensure() == 2
        assert (store.entered, store.renewed) == (2, 1)


def test_it_does_not_take_a_renewal_by_nothing_for_a_token_without_an_end() -> None:
    store = Store(seconds=0.4, renewed_seconds=0)
    mine = store.login(can_enter_again=False)
    mine.ensure()
    time.sleep(0.25)
    mine.ensure()
    time.sleep(0.2)

    mine.ensure()

    assert store.entered == 2


def test_it_leaves_a_token_without_an_end_alone() -> None:
    store = Store(seconds=0)
    mine = store.login()
    for _ in range(3):
        mine.ensure()
    assert (store.entered, store.renewed) == (1, 0)


def test_it_logs_in_again_once_for_all_that_were_refused_under_the_same_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "LOGIN_PAUSE", 0)
    store = Store()
    mine = store.login()
    seen = mine.ensure()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(mine.again, [seen] * 8))

    assert answers == [True] * 8
    assert store.entered == 2


def test_it_does_not_log_in_again_right_after_a_login_or_with_a_fixed_token() -> None:
    store = Store()
    mine = store.login()
    assert not mine.again(mine.ensure())
    fixed = store.login(can_enter_again=False)
    assert not fixed.again(fixed.ensure())


def test_it_passes_on_why_a_login_failed() -> None:
    store = Store()
    store.refuses_login = True
    with pytest.raises(RuntimeError):
        store.login().ensure()
