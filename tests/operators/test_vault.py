from __future__ import annotations

import os
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter
from prometheus_client import REGISTRY

from deploy.dev.openbao import OpenBao
from operators.errors import VaultUnavailable
from operators.secrets import Secret
from operators.vault import CasMismatch, OutcomeUnknown, Role, SecretMissing, VaultClient, vault
from tests.proxy import Mode, Proxy

CANARY = "Zq7#canary!pw"


def client(
    role: Role = Role.BOOTSTRAP, *, url: str | None = None, token: str | None = None, **options: Any
) -> VaultClient:
    return VaultClient(
        role,
        url=url or settings.VAULT_ADDR,
        mount=settings.VAULT_MOUNT,
        token=settings.VAULT_TOKENS[role] if token is None else token,
        **options,
    )


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def path() -> str:
    return f"ops/operators/{uuid.uuid4()}/credentials"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(settings.VAULT_ADDR) as running:
        yield running


def test_it_writes_numbered_versions_and_reads_exactly_the_one_asked_for(path: str) -> None:
    vault = client()
    assert vault.write(path, {"system_id": "acme", "password": Secret("first")}, cas=0) == 1
    assert vault.write(path, {"system_id": "acme", "password": Secret("second")}, cas=1) == 2

    first = vault.read(path, version=1)

    assert (first["password"].reveal(), first["system_id"].reveal()) == ("first", "acme")
    assert vault.read(path, version=2)["password"].reveal() == "second"


@pytest.mark.parametrize("cas", [0, 1, 3])
def test_it_refuses_a_write_that_was_checked_against_another_version(path: str, cas: int) -> None:
    vault = client()
    vault.write(path, {"password": Secret("a")}, cas=0)
    vault.write(path, {"password": Secret("b")}, cas=1)

    with pytest.raises(CasMismatch):
        vault.write(path, {"password": Secret(CANARY)}, cas=cas)

    metadata = vault.describe(path)
    assert metadata is not None and metadata.current_version == 2


def test_it_lets_one_of_many_concurrent_writes_win(path: str) -> None:
    vault = client()

    def write(number: int) -> int | None:
        try:
            return vault.write(path, {"password": Secret(f"pw{number}")}, cas=0)
        except CasMismatch:
            return None

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(write, range(8)))

    assert sorted(results, key=str) == [1, *[None] * 7]


def test_it_serves_many_threads_from_one_client_without_mixing_answers() -> None:
    vault = client()
    paths = [f"ops/operators/{uuid.uuid4()}/credentials" for _ in range(8)]
    for each in paths:
        vault.write(each, {"password": Secret(each)}, cas=0)

    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda p: (p, vault.read(p, version=1)["password"].reveal()), paths * 10))

    assert all(asked == answered for asked, answered in read)


def test_it_tells_versions_apart_by_their_state(path: str) -> None:
    vault = client()
    for number in range(4):
        vault.write(path, {"password": Secret("x")}, cas=number)
    vault.label(path, {"operator_id": "7", "attempt_id": "9"})
    vault.soft_delete(path, [1, 2])
    vault.undelete(path, [2])
    vault.destroy(path, [3])

    metadata = vault.describe(path)

    assert metadata is not None
    assert metadata.current_version == 4
    assert metadata.labels == {"operator_id": "7", "attempt_id": "9"}
    assert [n for n, state in metadata.versions.items() if state.is_deleted] == [1]
    assert [n for n, state in metadata.versions.items() if state.is_destroyed] == [3]
    for gone in (1, 3, 5):
        with pytest.raises(SecretMissing):
            vault.read(path, version=gone)


def test_it_makes_check_and_set_a_rule_of_each_labelled_secret(path: str) -> None:
    vault = client()
    vault.label(path, {"operator_id": "7"})

    with pytest.raises(VaultUnavailable, match="refused"):
        vault.request("post", f"{settings.VAULT_MOUNT}/data/{path}", {"data": {"password": "blind"}})


def test_it_lists_and_purges(path: str) -> None:
    vault = client()
    vault.write(path, {"password": Secret("x")}, cas=0)
    folder = path.removesuffix("credentials")
    assert vault.list_keys(folder) == ["credentials"]

    vault.purge(path)

    assert vault.describe(path) is None
    assert vault.list_keys(folder) == []


def test_it_does_not_take_a_missing_engine_for_a_missing_secret(path: str) -> None:
    lost = VaultClient(
        Role.BOOTSTRAP, url=settings.VAULT_ADDR, mount="nowhere", token=settings.VAULT_TOKENS["bootstrap"]
    )
    for call in (
        lambda: lost.read(path, version=1),
        lambda: lost.describe(path),
        lambda: lost.list_keys("ops/operators/"),
        lambda: lost.write(path, {"password": Secret("x")}, cas=0),
    ):
        with pytest.raises(VaultUnavailable, match="no secrets engine"):
            call()


class NotFound(BaseHTTPRequestHandler):
    """Another web server behind VAULT_ADDR."""

    def do_GET(self) -> None:
        self.send_error(404)

    def do_LIST(self) -> None:
        self.send_error(404)

    def log_message(self, *args: object) -> None:
        pass


def test_it_does_not_take_another_web_server_for_a_vault_without_secrets(path: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as other:
        threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        lost = client(url=f"http://127.0.0.1:{other.server_port}")
        with pytest.raises(VaultUnavailable):
            lost.describe(path)
        with pytest.raises(VaultUnavailable):
            lost.list_keys("ops/operators/")
        other.shutdown()


def test_it_refuses_a_wrong_token_and_does_not_read_one_from_the_environment(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", settings.VAULT_TOKENS["bootstrap"])
    before = counted("ops_vault_auth_total", result="error")

    with pytest.raises(VaultUnavailable, match="login"):
        client(token="not-a-token").read(path, version=1)

    assert counted("ops_vault_auth_total", result="error") > before


def test_it_says_that_a_process_without_any_login_has_none(settings: Any, tmp_path: Any) -> None:
    settings.VAULT_KUBERNETES_TOKEN_FILE = str(tmp_path / "absent")

    with pytest.raises(VaultUnavailable, match="neither a token nor a service account for the admin role"):
        client(Role.ADMIN, token="").check()


def test_it_says_when_vault_limits_its_rate(path: str) -> None:
    root = client()
    root.write(path, {"password": Secret("x")}, cas=0)
    root.request(
        "post", "sys/quotas/rate-limit/trial", {"path": f"{settings.VAULT_MOUNT}/", "rate": 1, "interval": "60s"}
    )
    try:
        with pytest.raises(VaultUnavailable, match="less often") as failure:
            for version in (1, 2, 3):
                root.write(path, {"password": Secret("x")}, cas=version)
    finally:
        root.request("delete", "sys/quotas/rate-limit/trial")
    assert not isinstance(failure.value, OutcomeUnknown)


def test_it_names_a_sealed_store_and_heals_by_itself(openbao: OpenBao, path: str) -> None:
    vault = client()
    vault.write(path, {"password": Secret("x")}, cas=0)
    openbao.seal()
    try:
        with pytest.raises(VaultUnavailable, match="sealed") as reading:
            vault.read(path, version=1)
        with pytest.raises(VaultUnavailable, match="sealed") as writing:
            vault.write(path, {"password": Secret(CANARY)}, cas=1)
        with pytest.raises(VaultUnavailable, match="sealed"):
            vault.check()
    finally:
        openbao.unseal()
    assert not isinstance(reading.value, OutcomeUnknown) and not isinstance(writing.value, OutcomeUnknown)

    assert eventually(lambda: vault.read(path, version=1)["password"].reveal()) == "x"
    assert eventually(lambda: vault.write(path, {"password": Secret("y")}, cas=1)) == 2


def eventually(call: Callable[[], Any], seconds: float = 15) -> Any:
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return call()
        except VaultUnavailable:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)


def test_it_is_sure_that_nothing_was_written_when_nobody_listens(path: str) -> None:
    with Proxy(settings.VAULT_ADDR) as gone:
        url = gone.url
    vault = client(url=url)

    with pytest.raises(VaultUnavailable) as writing:
        vault.write(path, {"password": Secret(CANARY)}, cas=0)

    assert not isinstance(writing.value, OutcomeUnknown)
    assert client().describe(path) is None


def test_it_does_not_know_the_outcome_of_a_write_whose_answer_is_lost(proxy: Proxy, path: str) -> None:
    vault = client(url=proxy.url)
    vault.check()
    proxy.mode = Mode.RESET_AFTER_REQUEST

    with pytest.raises(OutcomeUnknown):
        vault.write(path, {"password": Secret("x")}, cas=0)

    assert client().read(path, version=1)["password"].reveal() == "x"  # it was done, once
    metadata = client().describe(path)
    assert metadata is not None and metadata.current_version == 1


def test_it_does_not_know_the_outcome_of_a_write_into_silence_and_returns_in_time(proxy: Proxy, path: str) -> None:
    vault = client(url=proxy.url, connect_timeout=0.3, read_timeout=0.5)
    vault.check()
    proxy.mode = Mode.BLACKHOLE
    started = time.monotonic()

    with pytest.raises(OutcomeUnknown):
        vault.write(path, {"password": Secret("x")}, cas=0)

    assert time.monotonic() - started < 1.2


def test_it_reads_once_more_when_a_connection_breaks(proxy: Proxy, path: str) -> None:
    vault = client(url=proxy.url)
    vault.write(path, {"password": Secret("x")}, cas=0)
    seen = proxy.requests_seen
    proxy.mode = Mode.RESET_ONCE

    assert vault.read(path, version=1)["password"].reveal() == "x"
    assert proxy.requests_seen == seen + 2

    proxy.mode = Mode.RESET_AFTER_REQUEST
    with pytest.raises(VaultUnavailable):
        vault.read(path, version=1)
    assert proxy.requests_seen == seen + 4


def test_it_bounds_a_read_from_a_paused_store(openbao: OpenBao, path: str) -> None:
    vault = client(connect_timeout=0.3, read_timeout=0.5)
    vault.write(path, {"password": Secret("x")}, cas=0)
    openbao.pause()
    started = time.monotonic()
    try:
        with pytest.raises(VaultUnavailable):
            vault.read(path, version=1)
    finally:
        openbao.resume()

    assert time.monotonic() - started < 1.2
    assert eventually(lambda: vault.read(path, version=1)["password"].reveal()) == "x"


def test_it_fails_at_once_after_some_failures_and_then_lets_one_try(proxy: Proxy, path: str) -> None:
    vault = client(url=proxy.url, connect_timeout=0.1, read_timeout=0.1)
    vault.write(path, {"password": Secret("x")}, cas=0)
    proxy.mode = Mode.BLACKHOLE
    for _ in range(5):
        with pytest.raises(VaultUnavailable):
            vault.read(path, version=1)
    sent = proxy.requests_seen

    started = time.monotonic()
    for _ in range(100):
        with pytest.raises(VaultUnavailable) as failure:
            vault.write(path, {"password": Secret(CANARY)}, cas=1)
        assert not isinstance(failure.value, OutcomeUnknown)
    assert time.monotonic() - started < 1
    assert proxy.requests_seen == sent

    proxy.mode = Mode.PASS
    time.sleep(2.1)
    assert vault.read(path, version=1)["password"].reveal() == "x"


def test_it_counts_and_times_what_it_does(path: str) -> None:
    def samples() -> tuple[float, ...]:
        return (
            counted("ops_credentials_read_total", result="ok"),
            counted("ops_credentials_read_total", result="not_found"),
            counted("ops_vault_read_duration_seconds_count"),
            counted("ops_vault_write_duration_seconds_count"),
        )

    vault = client()
    before = samples()
    vault.write(path, {"password": Secret("x")}, cas=0)
    vault.read(path, version=1)
    with pytest.raises(SecretMissing):
        vault.read(path, version=2)

    assert [after - then for after, then in zip(samples(), before, strict=True)] == [1, 1, 2, 1]


class TestNothingLeaks:
    """What an error carries, in every form in which errors end up in logs, reports and pages."""

    @pytest.mark.parametrize("mode", [Mode.RESET_AFTER_REQUEST, Mode.BLACKHOLE, Mode.REFUSE])
    def test_it_hands_on_no_password_when_a_write_fails(self, proxy: Proxy, path: str, mode: Mode) -> None:
        vault = client(url=proxy.url, connect_timeout=0.2, read_timeout=0.2)
        vault.check()
        proxy.mode = mode

        self.assert_clean(lambda: vault.write(path, {"password": Secret(CANARY)}, cas=0))

    def test_it_hands_on_no_password_when_a_write_is_refused(self, path: str) -> None:
        vault = client()
        vault.write(path, {"password": Secret("x")}, cas=0)

        self.assert_clean(lambda: vault.write(path, {"password": Secret(CANARY)}, cas=0))
        self.assert_clean(lambda: client(token="wrong").write(path, {"password": Secret(CANARY)}, cas=1))

    def test_it_hands_on_no_password_that_it_cannot_understand(self, path: str) -> None:
        vault = client()
        secrets: dict[str, Any] = {"password": Secret(CANARY), "system_id": object()}  # JSON has no such thing

        self.assert_clean(lambda: vault.write(path, secrets, cas=0))

    def assert_clean(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            kind, value, trace = sys.exc_info()
            reporter = ExceptionReporter(None, kind, value, trace)
            # Django's plain one, so that it is the client and no filter of ours that keeps the value back.
            reporter.filter = SafeExceptionReporterFilter()
            shown = [repr(error), str(error), traceback.format_exc(), *map(repr, error.args)]
            shown += [reporter.get_traceback_html(), reporter.get_traceback_text()]
            assert error.__context__ is None and error.__cause__ is None
            assert CANARY not in "".join(shown)
        else:
            pytest.fail("it did not fail")


def test_it_keeps_one_client_per_role_and_process() -> None:
    assert vault(Role.ADMIN) is vault(Role.ADMIN)
    assert vault(Role.ADMIN) is not vault(Role.INTERNAL)


def test_it_makes_a_new_client_after_a_fork() -> None:
    mine = vault(Role.ADMIN)
    mine.check()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            theirs = vault(Role.ADMIN)
            theirs.check()
            os.write(writer, b"new" if theirs is not mine else b"same")
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"new"
    os.waitpid(child, 0)
    mine.check()
