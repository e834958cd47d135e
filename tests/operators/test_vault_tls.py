"""Vault behind TLS: reads and writes go by different libraries, and both must trust the same authority."""

from __future__ import annotations

import socket
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from config.devcerts import Authority, Pair
from operators.errors import VaultUnavailable
from operators.secrets import Secret
from operators.vault import Role, VaultClient

HOST = "127.0.0.1"


class Terminator:
    """Take TLS off and pass the bytes on to Vault, as a load balancer does."""

    def __init__(self, pair: Pair, home: Path) -> None:
        certificate, key = home / "tls.crt", home / "tls.key"
        certificate.write_bytes(pair.certificate_pem)
        key.write_bytes(pair.key_pem)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server((HOST, 0))
        self.url = f"https://{HOST}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[caller], daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        address = urlsplit(settings.VAULT_ADDR)
        with (
            suppress(OSError),
            caller,
            self._context.wrap_socket(caller, server_side=True) as secured,
            socket.create_connection((address.hostname, address.port)) as vault,
        ):
            back = threading.Thread(target=self._pass_on, args=[vault, secured], daemon=True)
            back.start()
            self._pass_on(secured, vault)
            vault.shutdown(socket.SHUT_RDWR)
            back.join()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while some := source.recv(65_536):
                target.sendall(some)


@pytest.fixture
def authority() -> Authority:
    return Authority.create("Vault's CA")


@pytest.fixture
def terminator(authority: Authority, tmp_path: Path) -> Iterator[Terminator]:
    running = Terminator(authority.issue("vault", addresses=[HOST], is_server=True), tmp_path)
    yield running
    running.close()


def client(url: str, trusted: Authority, home: Path) -> VaultClient:
    ca_file = home / "ca.crt"
    ca_file.write_bytes(trusted.pair.certificate_pem)
    return VaultClient(
        Role.BOOTSTRAP,
        url=url,
        mount=settings.VAULT_MOUNT,
        token=settings.VAULT_TOKENS[Role.BOOTSTRAP],
        ca_file=str(ca_file),
    )


def test_it_writes_and_reads_over_tls(terminator: Terminator, authority: Authority, tmp_path: Path) -> None:
    vault = client(terminator.url, authority, tmp_path)
    path = f"ops/operators/{uuid.uuid4()}/credentials"

    assert vault.write(path, {"password": Secret("first")}, cas=0) == 1
    for _ in range(3):  # the later ones on the connection that was kept
        assert vault.read(path, version=1)["password"].reveal() == "first"


def test_it_trusts_nobody_else(terminator: Terminator, tmp_path: Path) -> None:
    vault = client(terminator.url, Authority.create("Somebody's CA"), tmp_path)

    with pytest.raises(VaultUnavailable):
        vault.read("ops/operators/any/credentials", version=1)
    with pytest.raises(VaultUnavailable):
        vault.write("ops/operators/any/credentials", {"password": Secret("first")}, cas=0)


def test_it_trusts_no_certificate_for_another_address(authority: Authority, tmp_path: Path) -> None:
    elsewhere = Terminator(authority.issue("vault", hosts=["vault.example"], is_server=True), tmp_path)
    try:
        with pytest.raises(VaultUnavailable):
            client(elsewhere.url, authority, tmp_path).read("ops/operators/any/credentials", version=1)
    finally:
        elsewhere.close()
