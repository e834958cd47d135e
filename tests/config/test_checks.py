from __future__ import annotations

from ipaddress import ip_network
from typing import Any, cast

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test.utils import isolate_apps
from pytest_django import Settings

from config.checks import check_settings
from config.env import assignments, networks
from operators.checks import check_columns
from tests.servers import CONNECTOR

GOOD_KEY = "k3y-of-a-good-length-" + "0123456789abcdef" * 3


@pytest.fixture
def production(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a production process in which nothing is wrong."""
    settings.PRODUCTION, settings.ENVIRONMENT = True, "production"
    settings.SECRET_KEY = GOOD_KEY
    settings.ALLOWED_HOSTS = ["ops.example.com"]
    settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH = "https://id.example.com/keys", ""
    settings.JWT_ISSUER, settings.JWT_DEV_KEY_PATH = "https://id.example.com", ""
    settings.VAULT_ADDR = "https://vault.example.com"
    settings.NATS_URL = "tls://a.example.com:4222,tls://b.example.com:4222"
    monkeypatch.setitem(settings.DATABASES["default"]["OPTIONS"], "sslmode", "verify-full")
    settings.VAULT_TOKENS = dict.fromkeys(("admin", "internal", "reconciler", "bootstrap"), "")
    return settings


def ids() -> list[str]:
    return sorted(str(message.id) for message in check_settings())


def test_it_finds_nothing_in_this_project() -> None:
    assert [message for message in run_checks() if message.is_serious()] == []


def test_it_finds_nothing_in_good_production_settings(production: Settings) -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"SECRET_KEY": "short"}, "config.E001"),
        ({"SECRET_KEY": "a" * 60}, "config.E001"),
        ({"ALLOWED_HOSTS": []}, "config.E002"),
        ({"ALLOWED_HOSTS": ["*"]}, "config.E002"),
        ({"JWT_JWKS_PATH": "/etc/keys.json"}, "config.E003"),
        ({"JWT_JWKS_URL": ""}, "config.E004"),
        ({"JWT_ISSUER": ""}, "config.E005"),
        ({"JWT_DEV_KEY_PATH": "dev-key.pem"}, "config.E006"),
        ({"VAULT_ADDR": "http://vault:8200"}, "config.W007"),
        ({"NATS_URL": "tls://a:4222,nats://b:4222"}, "config.W009"),
        ({"VAULT_TOKENS": {"admin": "a", "internal": "b", "reconciler": "c"}}, "config.W010"),
        ({"REST_FRAMEWORK": {}}, "config.E011"),
        (
            {
                "REST_FRAMEWORK": {
                    "DEFAULT_AUTHENTICATION_CLASSES": ["x"],
                    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
                }
            },
            "config.E011",
        ),
        ({"OUTBOX_RETENTION_DAYS": 6}, "config.E012"),
    ],
)
def test_it_names_what_is_wrong_in_production(production: Settings, changes: dict[str, object], found: str) -> None:
    for name, value in changes.items():
        setattr(production, name, value)
    assert ids() == [found]
    assert all(message.hint for message in check_settings())


@pytest.mark.parametrize("mode", ["prefer", "disable", None])
def test_it_warns_of_a_database_without_tls(
    production: Settings, monkeypatch: pytest.MonkeyPatch, mode: str | None
) -> None:
    monkeypatch.setitem(production.DATABASES["default"]["OPTIONS"], "sslmode", mode)
    assert ids() == ["config.W008"]


def test_it_allows_one_role_per_process(production: Settings) -> None:
    production.VAULT_TOKENS = {"admin": "a", "internal": "", "reconciler": ""}
    assert ids() == []


def test_it_only_warns_a_developer_without_a_key_set(settings: Settings) -> None:
    settings.ENVIRONMENT, settings.JWT_JWKS_URL, settings.JWT_JWKS_PATH = "development", "", ""
    assert ids() == ["config.W004"]


@pytest.mark.parametrize(
    "column",
    [
        "password",
        "smpp_password",
        "passwd",
        "pwd",
        "bind_secret",
        "secret_value",
        "credential",
        "credentials",
        "credential_value",
        "smpp_pass",
        "auth_token",
        "api_key",
        "PrivateKey",
    ],
)
def test_it_refuses_a_column_that_looks_like_a_password(column: str) -> None:
    assert columns_found(models.CharField(max_length=10, db_column=column)) == ["operators.E001"]


@pytest.mark.parametrize(
    "column", ["credential_version", "credential_rotated_at", "system_id", "passed_at", "tokens_used"]
)
def test_it_accepts_columns_about_a_password(column: str) -> None:
    assert columns_found(models.CharField(max_length=10, db_column=column)) == []


def test_it_looks_at_every_app_and_excepts_only_the_login_hash() -> None:
    assert check_columns(None) == []
    user = apps.get_model("auth", "User")
    assert "password" in {field.column for field in user._meta.concrete_fields}


def columns_found(field: models.Field[Any, Any]) -> list[str]:
    with isolate_apps("operators"):
        model = type("Candidate", (models.Model,), {"value": field, "__module__": "operators.models"})
        config = cast("Any", type("App", (), {"get_models": lambda self, **_: [model]})())
        return [str(message.id) for message in check_columns([config])]


@pytest.fixture
def internal(production: Settings) -> Settings:
    """The settings of an internal API in production in which nothing is wrong."""
    production.LISTENER = "internal"
    production.INTERNAL_TLS, production.INTERNAL_XFCC_PROXIES = True, ()
    production.INTERNAL_TLS_FILES = dict.fromkeys(("INTERNAL_TLS_CERT", "INTERNAL_TLS_KEY", "INTERNAL_TLS_CA"), "/tls")
    production.INTERNAL_CALLERS = (("smpp-connector", CONNECTOR), ("routing-engine", "dns:router.sms.svc"))
    # It knows no tokens, and asks for none of their settings.
    production.JWT_JWKS_URL = production.JWT_ISSUER = ""
    return production


def test_it_finds_nothing_in_good_settings_of_the_internal_api(internal: Settings) -> None:
    assert ids() == []
    internal.INTERNAL_TLS, internal.INTERNAL_XFCC_PROXIES = False, (ip_network("127.0.0.6/32"),)
    internal.INTERNAL_TLS_FILES = dict.fromkeys(internal.INTERNAL_TLS_FILES, "")
    assert ids() == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"INTERNAL_TLS_FILES": {"INTERNAL_TLS_CERT": "/a", "INTERNAL_TLS_KEY": "/b", "INTERNAL_TLS_CA": ""}}, "E013"),
        ({"INTERNAL_TLS": False}, "E014"),
        ({"INTERNAL_CALLERS": ()}, "E015"),
        ({"INTERNAL_XFCC_PROXIES": (ip_network("0.0.0.0/0"),)}, "E016"),
        ({"INTERNAL_XFCC_PROXIES": (ip_network("::/0"),)}, "E016"),
        ({"INTERNAL_CALLERS": (("admin-console", CONNECTOR),)}, "E017"),
        ({"INTERNAL_CALLERS": (("smpp-connector", CONNECTOR), ("routing-engine", CONNECTOR))}, "E018"),
        *(
            ({"INTERNAL_CALLERS": (("smpp-connector", wrong),)}, "E019")
            for wrong in ("", "smpp-connector", "spiffe://ops.local", "spiffe://ops.local/*", "dns:*.svc", "dns:A.svc")
        ),
    ],
)
def test_it_finds_what_would_let_nobody_in_or_the_wrong_ones(
    internal: Settings, changes: dict[str, Any], found: str
) -> None:
    for name, value in changes.items():
        setattr(internal, name, value)
    assert ids() == [f"config.{found}"]


def test_it_reads_callers_and_proxies_or_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLERS", " a=spiffe://x/y | dns:z ; b=dns:w;")
    assert assignments("CALLERS") == (("a", "spiffe://x/y"), ("a", "dns:z"), ("b", "dns:w"))
    monkeypatch.setenv("CALLERS", "a")
    with pytest.raises(ImproperlyConfigured, match="CALLERS must be a list of NAME=VALUE"):
        assignments("CALLERS")
    monkeypatch.setenv("PROXIES", "127.0.0.6, fd00::/8")
    assert networks("PROXIES") == (ip_network("127.0.0.6/32"), ip_network("fd00::/8"))
    for wrong in ("10.0.0.1/8", "proxy"):
        monkeypatch.setenv("PROXIES", wrong)
        with pytest.raises(ImproperlyConfigured, match="PROXIES must list addresses"):
            networks("PROXIES")
