"""Logging in and staying logged in, against OpenBao; only the Kubernetes API behind it is played by us."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from django.utils import timezone
from prometheus_client import REGISTRY
from pytest_django import Settings

from operators import login
from operators.errors import VaultUnavailable
from operators.provisioning import policies, provision_vault
from operators.secrets import Secret
from operators.vault import Role, VaultClient, vault

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class KubernetesApi(ThreadingHTTPServer):
    """Answer TokenReview for the one service account token that is valid now."""

    def __init__(self, token_file: Path) -> None:
        super().__init__(("127.0.0.1", 0), Review)
        self.token_file = token_file
        self.logins = 0
        self.current = ""

    def issue(self, account: str) -> None:
        """Rotate the token on disk, as the kubelet does; the one before is no longer valid."""
        now = int(time.time())
        claims = {
            "iss": "kubernetes/serviceaccount",
            "sub": f"system:serviceaccount:ops:{account}",
            "jti": str(uuid.uuid4()),
            "iat": now,
            "nbf": now - 1,
            "exp": now + 600,
            "kubernetes.io": {"namespace": "ops", "serviceaccount": {"name": account, "uid": "7"}},
        }
        self.current = jwt.encode(claims, KEY, algorithm="RS256")
        self.account = account
        self.token_file.write_text(self.current)


class Review(BaseHTTPRequestHandler):
    server: KubernetesApi

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.logins += 1
        user = {
            "username": f"system:serviceaccount:ops:{self.server.account}",
            "uid": "7",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:ops"],
        }
        is_good = asked["spec"]["token"] == self.server.current
        status = {"authenticated": True, "user": user} if is_good else {"authenticated": False, "error": "expired"}
        body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def self_signed() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = timezone.now()
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, now, now + timedelta(hours=1))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def kubernetes(settings: Settings, tmp_path: Path) -> Iterator[KubernetesApi]:
    """Kubernetes auth, provisioned as in production."""
    settings.VAULT_KUBERNETES_MOUNT = f"kubernetes-{uuid.uuid4().hex[:8]}"
    settings.VAULT_KUBERNETES_TOKEN_FILE = str(tmp_path / "token")
    root = vault(Role.BOOTSTRAP)
    with KubernetesApi(tmp_path / "token") as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        root.request("post", f"sys/auth/{settings.VAULT_KUBERNETES_MOUNT}", {"type": "kubernetes"})
        root.request(
            "post",
            f"auth/{settings.VAULT_KUBERNETES_MOUNT}/config",
            {
                "kubernetes_host": f"http://127.0.0.1:{api.server_port}",
                "token_reviewer_jwt": jwt.encode({"sub": "reviewer"}, KEY, algorithm="RS256"),
                # Asked for in any case, and not used on plain HTTP.
                "kubernetes_ca_cert": self_signed(),
                "disable_local_ca_jwt": True,
                "disable_iss_validation": True,
            },
        )
        provision_vault(issue_tokens=False)
        yield api
        root.request("delete", f"sys/auth/{settings.VAULT_KUBERNETES_MOUNT}")
        api.shutdown()
        thread.join()


@pytest.fixture
def path() -> str:
    made = f"ops/operators/{uuid.uuid4()}/credentials"
    vault(Role.BOOTSTRAP).write(made, {"password": Secret("x")}, cas=0)
    return made


def client(settings: Settings, role: Role, token: str = "") -> VaultClient:
    return VaultClient(role, url=settings.VAULT_ADDR, mount=settings.VAULT_MOUNT, token=token)


def logins(result: str) -> float:
    return REGISTRY.get_sample_value("ops_vault_auth_total", {"result": result}) or 0


def test_it_logs_in_once_with_the_service_account_of_its_role(
    settings: Settings, kubernetes: KubernetesApi, path: str
) -> None:
    kubernetes.issue("ops-internal")
    internal = client(settings, Role.INTERNAL)
    before = logins("ok")

    for _ in range(3):
        assert internal.read(path, version=1)["password"].reveal() == "x"

    assert kubernetes.logins == 1
    assert logins("ok") == before + 1


def test_it_gives_a_service_account_no_other_role(settings: Settings, kubernetes: KubernetesApi, path: str) -> None:
    kubernetes.issue("ops-admin")
    before = logins("error")

    with pytest.raises(VaultUnavailable, match="login"):
        client(settings, Role.INTERNAL).read(path, version=1)

    assert logins("error") > before


def test_it_logs_in_again_once_after_its_token_was_revoked_with_the_token_file_as_it_is_then(
    settings: Settings, kubernetes: KubernetesApi, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "LOGIN_PAUSE", 0)
    kubernetes.issue("ops-internal")
    internal = client(settings, Role.INTERNAL)
    internal.read(path, version=1)
    kubernetes.issue("ops-internal")
    prefix = f"auth/{settings.VAULT_KUBERNETES_MOUNT}"
    vault(Role.BOOTSTRAP).request("put", f"sys/leases/revoke-prefix/{prefix}")

    assert internal.read(path, version=1)["password"].reveal() == "x"
    assert kubernetes.logins == 2


def test_it_does_not_log_in_over_and_over_for_what_its_policy_forbids(
    settings: Settings, kubernetes: KubernetesApi, path: str
) -> None:
    kubernetes.issue("ops-internal")
    internal = client(settings, Role.INTERNAL)

    for _ in range(5):
        with pytest.raises(VaultUnavailable, match="login"):
            internal.write(path, {"password": Secret("y")}, cas=1)

    assert kubernetes.logins == 1


def test_it_renews_a_token_at_half_of_its_life(settings: Settings, path: str) -> None:
    internal = client(settings, Role.INTERNAL, token_of(period="2s"))
    before = logins("ok")
    give_up_at = time.monotonic() + 4
    while time.monotonic() < give_up_at:
        assert internal.read(path, version=1)["password"].reveal() == "x"
        time.sleep(0.2)

    assert 3 <= logins("ok") - before <= 6


def test_it_goes_to_the_end_of_a_token_that_cannot_be_renewed_and_then_says_so(settings: Settings, path: str) -> None:
    internal = client(settings, Role.INTERNAL, token_of(ttl="1s", renewable=False))
    assert internal.read(path, version=1)["password"].reveal() == "x"
    time.sleep(1.3)

    with pytest.raises(VaultUnavailable, match="login"):
        internal.read(path, version=1)


def test_it_replaces_a_login_that_comes_to_its_maximal_life(
    settings: Settings, kubernetes: KubernetesApi, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"auth/{settings.VAULT_KUBERNETES_MOUNT}/role/ops-internal"
    vault(Role.BOOTSTRAP).request("post", role, {"token_ttl": "2s", "token_max_ttl": "3s"})
    kubernetes.issue("ops-internal")
    internal = client(settings, Role.INTERNAL)
    give_up_at = time.monotonic() + 5
    while time.monotonic() < give_up_at:
        assert internal.read(path, version=1)["password"].reveal() == "x"
        time.sleep(0.2)

    # A storm would be hundreds: each of the threads asks fifty times a second.
    assert 2 <= kubernetes.logins <= 20  # of 25 reads; Vault counts such short lives in whole seconds


def token_of(**options: str | bool) -> str:
    answer = vault(Role.BOOTSTRAP).request(
        "post", "auth/token/create-orphan", {"policies": policies(Role.INTERNAL), "no_default_policy": True, **options}
    )
    return str(answer["auth"]["client_token"])


def test_it_knocks_once_a_second_while_its_login_is_refused(
    settings: Settings, kubernetes: KubernetesApi, path: str
) -> None:
    """Many calls need a login, and each would otherwise ask for one: Vault and the Kubernetes API pay for that."""
    kubernetes.issue("ops-internal")
    kubernetes.current = "rotated away"
    internal, before, calls = client(settings, Role.INTERNAL), logins("error"), 0
    give_up_at = time.monotonic() + 2.5

    def call(_: int) -> None:
        nonlocal calls
        while time.monotonic() < give_up_at:
            with pytest.raises(VaultUnavailable, match="login"):
                internal.read(path, version=1)
            calls += 1
            time.sleep(0.01)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(8)))

    assert calls > 100
    assert 1 <= kubernetes.logins <= 4
    assert logins("error") - before == kubernetes.logins

    kubernetes.issue("ops-internal")
    time.sleep(login.REFUSED_PAUSE)
    assert internal.read(path, version=1)["password"].reveal() == "x"


def test_it_logs_in_seldom_while_its_policy_is_away(settings: Settings, kubernetes: KubernetesApi, path: str) -> None:
    root = vault(Role.BOOTSTRAP)
    kubernetes.issue("ops-internal")
    internal = client(settings, Role.INTERNAL)
    internal.read(path, version=1)
    root.request("delete", "sys/policies/acl/ops-internal")
    try:
        for _ in range(50):
            with pytest.raises(VaultUnavailable, match="its policy forbids it"):
                internal.read(path, version=1)
    finally:
        provision_vault(issue_tokens=False)
    assert kubernetes.logins == 1
    assert internal.read(path, version=1)["password"].reveal() == "x"


def test_it_serves_many_threads_through_short_lives_without_a_failure(
    settings: Settings, kubernetes: KubernetesApi, path: str
) -> None:
    """Renewals, maximal lives and a service account token that is rotated on the way."""
    role = f"auth/{settings.VAULT_KUBERNETES_MOUNT}/role/ops-internal"
    vault(Role.BOOTSTRAP).request("post", role, {"token_ttl": "4s", "token_max_ttl": "6s"})
    kubernetes.issue("ops-internal")
    internal, reads, failures = client(settings, Role.INTERNAL), 0, []
    give_up_at = time.monotonic() + 10

    def work(number: int) -> None:
        nonlocal reads
        while time.monotonic() < give_up_at:
            try:
                internal.read(path, version=1)
            except VaultUnavailable as failure:
                failures.append(str(failure))
            reads += 1
            if number == 0 and reads % 40 == 0:
                kubernetes.issue("ops-internal")
            time.sleep(0.02)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert reads > 200
    assert failures == []
    # A storm would be hundreds: each of the threads asks fifty times a second.
    assert 2 <= kubernetes.logins <= 20
