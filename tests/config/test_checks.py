from __future__ import annotations

from typing import Any, cast

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.db import models
from django.test.utils import isolate_apps
from pytest_django import Settings

from config.checks import check_settings
from operators.checks import check_columns

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
