"""A model field whose value lives in Vault: its table has no column for it, and each row names the valid version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING, Any, NoReturn

from django import forms
from django.core import checks
from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.functional import cached_property

from operators.secrets import Secret
from operators.vault import Role, SecretMissing, vault

if TYPE_CHECKING:
    _CredentialBase = models.Field[Secret | None, Secret]
else:
    _CredentialBase = models.Field

# What may stand in a Vault path; above all no slash and no dots, with which one row could name another row's secret.
PATH_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")


class CredentialInput(forms.CharField):
    """Take a password and never show it again, also not after an error; `clean` returns a Secret or None."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("strip", False)
        kwargs.setdefault(
            "widget",
            forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "spellcheck": "false"}),
        )
        super().__init__(**kwargs)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        return Secret(text) if text else None

    def prepare_value(self, value: Any) -> None:
        return None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)


class CredentialDescriptor:
    """Give a row's Secret: the one assigned and not yet stored, else one that asks Vault each time it is revealed.

    An assigned Secret counts as stored as soon as the row points at another version than when it was assigned.
    """

    def __init__(self, field: VaultCredentialField) -> None:
        self.field = field

    def __get__(
        self, instance: models.Model | None, owner: type[models.Model] | None = None
    ) -> CredentialDescriptor | Secret:
        if instance is None:
            return self
        held, version = instance.__dict__.get(self.field.attname, (None, None))
        if held is not None and version == instance.__dict__.get(self.field.version_field):
            return held  # type: ignore[no-any-return]
        return Secret(fetch=lambda: self.field.read(instance))

    def __set__(self, instance: models.Model, value: Secret | None) -> None:
        if value is None:
            instance.__dict__.pop(self.field.attname, None)
        elif isinstance(value, Secret):
            instance.__dict__[self.field.attname] = (value, instance.__dict__.get(self.field.version_field))
        else:
            raise TypeError(f"{self.field.name} takes a Secret or None, not {type(value).__name__}.")


class VaultCredentialField(_CredentialBase):
    """Tie a row to a credential in a KV v2 engine.

    `path` is a template over the row's attributes, `key` the entry of the secret that is meant, `version_field` the
    integer field with the valid version, and `stored_with` names attributes that are written beside the value. Saving
    the row never writes to Vault: whoever assigns is to write `payload_for()` to `path_for()`, then set the version.
    A ModelForm does not find a field without a column: declare `formfield()` there.
    """

    description = "A credential in Vault"
    default_error_messages = {"required": "This field is required."}
    non_db_attrs = (*models.Field.non_db_attrs, "path", "key", "version_field", "stored_with")

    def __init__(
        self,
        verbose_name: str | None = None,
        *,
        path: str,
        key: str,
        version_field: str,
        stored_with: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        self.path = path
        self.key = key
        self.version_field = version_field
        self.stored_with = tuple(stored_with)
        super().__init__(verbose_name, **{**kwargs, "serialize": False})

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("serialize", None)
        kwargs |= {"path": self.path, "key": self.key, "version_field": self.version_field}
        if self.stored_with:
            kwargs["stored_with"] = self.stored_with
        return name, path, args, kwargs

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only=private_only)
        setattr(cls, self.attname, CredentialDescriptor(self))

    # --- No column ------------------------------------------------------------------------------------------------
    def get_attname_column(self) -> tuple[str, str]:
        return self.get_attname(), None  # type: ignore[return-value]

    def db_type(self, connection: BaseDatabaseWrapper) -> None:
        return None

    def get_col(self, alias: str, output_field: models.Field[Any, Any] | None = None) -> NoReturn:
        self._refuse_query()

    def get_prep_value(self, value: Any) -> NoReturn:
        self._refuse_query()

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> NoReturn:
        self._refuse_query()

    def _refuse_query(self) -> NoReturn:
        raise FieldError(
            f"{self.name} lives in Vault, not in the database: it cannot be queried, ordered by or updated."
        )

    # --- The secret -----------------------------------------------------------------------------------------------
    @cached_property
    def _placeholders(self) -> tuple[str, ...]:
        """Name the attributes in the path template; ValueError for a template that is more than plain `{name}`s."""
        names = []
        for _, name, spec, conversion in Formatter().parse(self.path):
            if name is None:
                continue
            if not name.isidentifier() or spec or conversion:
                raise ValueError(f"{{{name}}} is not a plain attribute")
            names.append(name)
        return tuple(names)

    def path_for(self, instance: object) -> str:
        """Return where the secret of a row lies, whatever holds its columns; ValueError when one is no safe segment."""
        parts = {name: getattr(instance, name) for name in self._placeholders}
        for name, part in parts.items():
            if part is None or not PATH_SEGMENT.fullmatch(str(part)):
                raise ValueError(f"{name} of this {self.model._meta.verbose_name} cannot stand in a Vault path.")
        return self.path.format(**parts)

    def payload_for(self, instance: models.Model, secret: Secret) -> dict[str, Secret | str]:
        """Return what to write for the row: the secret and the attributes that are stored with it."""
        return {**{name: str(getattr(instance, name)) for name in self.stored_with}, self.key: secret}

    def read(self, instance: object) -> str:
        """Ask Vault for the version that the row names; SecretMissing when the row names none or it is not there."""
        version = getattr(instance, self.version_field)
        path = self.path_for(instance)
        if version is None:
            raise SecretMissing(f"{path} has not been written yet.")
        stored = vault(Role.INTERNAL).read(path, version=version)
        if self.key not in stored:
            raise SecretMissing(f"{path} has no {self.key} in version {version}.")
        return stored[self.key].reveal()

    # --- Validation, forms and serializers --------------------------------------------------------------------------
    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        """Check an assigned Secret; one that lies in Vault was checked when it was written, and is not fetched."""
        if isinstance(value, Secret) and not value.is_held:
            unwritten = model_instance is None or getattr(model_instance, self.version_field) is None
            if unwritten and not self.blank:
                raise ValidationError(self.error_messages["required"], code="required")
            return None
        return super().clean(value, model_instance)

    def to_python(self, value: Any) -> Secret | None:
        # loaddata quotes a value that is refused, so that a bare one is wrapped rather than refused.
        return value if value is None or isinstance(value, Secret) else Secret(str(value))

    def value_to_string(self, obj: models.Model) -> str:
        return ""

    def formfield(self, **kwargs: Any) -> forms.Field | None:
        return super().formfield(**{"form_class": CredentialInput, **kwargs})

    # --- System checks ----------------------------------------------------------------------------------------------
    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(**kwargs), *self._check_path(), *self._check_attributes(), *self._check_options()]

    def _check_path(self) -> list[checks.CheckMessage]:
        try:
            names = self._placeholders
        except ValueError as error:
            return [checks.Error(f"'path' is not a valid template: {error}.", obj=self, id="vault_credential.E001")]
        if not names or not self.key:
            return [
                checks.Error(
                    "'path' must name an attribute of the row, such as {pk}, and 'key' must not be empty.",
                    hint="Without one, all rows would share one secret.",
                    obj=self,
                    id="vault_credential.E002",
                )
            ]
        return [
            checks.Error(f"'path' names '{name}', which the model has not.", obj=self, id="vault_credential.E001")
            for name in names
            if name != "pk" and not self._sibling(name)
        ]

    def _check_attributes(self) -> list[checks.CheckMessage]:
        errors: list[checks.CheckMessage] = []
        if not isinstance(self._sibling(self.version_field), models.IntegerField):
            errors.append(
                checks.Error(
                    f"'version_field' must name an integer field, and '{self.version_field}' is none.",
                    obj=self,
                    id="vault_credential.E003",
                )
            )
        errors += [
            checks.Error(
                f"'stored_with' names '{name}', which is no other field of the model or is the key itself.",
                obj=self,
                id="vault_credential.E004",
            )
            for name in self.stored_with
            if name == self.key or self._sibling(name) is None
        ]
        return errors

    def _check_options(self) -> list[checks.CheckMessage]:
        asked: Mapping[str, bool] = {
            "null": self.null,
            "unique": self.unique,
            "primary_key": self.primary_key,
            "db_index": self.db_index,  # type: ignore[attr-defined]
            "db_column": self.db_column is not None,
            "default": self.has_default() or self.has_db_default(),
            "choices": self.choices is not None,
        }
        return [
            checks.Error(f"'{option}' has no meaning without a column.", obj=self, id="vault_credential.E005")
            for option, is_asked in asked.items()
            if is_asked
        ]

    def _sibling(self, name: str) -> object | None:
        try:
            found = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            return None
        return None if found is self else found
