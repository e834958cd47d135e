"""System checks of the system of record: no column may look as if a password were in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from django.apps import AppConfig, apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.checks import CheckMessage, Error, Tags, register
from django.db.models import Field, Model

PASSWORD_LIKE: Final = re.compile(
    r"passw|passphrase|pwd|secret|credentials?(?:_value)?$|(?:^|_)(?:pass|token)(?:_value)?$|(?:api|private)_?key",
    re.IGNORECASE,
)


@register(Tags.models)
def check_columns(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a column whose name says password, in any app; a password lives in Vault (contract §3 and §10)."""
    chosen = apps.get_app_configs() if app_configs is None else app_configs
    models: list[type[Model]] = [model for app in chosen for model in app.get_models(include_auto_created=True)]
    return [
        Error(
            f"The column “{column}” looks as if it held a password.",
            hint="Passwords live in Vault: use operators.fields.VaultCredentialField, which has no column.",
            obj=field,
            id="operators.E001",
        )
        for model in models
        for field in model._meta.concrete_fields
        if (column := field.column) and PASSWORD_LIKE.search(column) and not is_login_hash(model, field)
    ]


def is_login_hash(model: type[Model], field: Field[Any, Any]) -> bool:
    """Except the salted hash of a staff login: Django's own, and nothing that a carrier would accept."""
    return issubclass(model, AbstractBaseUser) and field.name == "password"
