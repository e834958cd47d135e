"""Serializer fields that take a JSON value of exactly their type: REST framework's own would turn "2775" into 2775."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from operators.secrets import Secret
from operators.wire import rfc3339

MESSAGES = {"required": "This field is required.", "null": "This field must not be null."}


class TextField(serializers.CharField):
    """Take text as it is; trimming and blankness are the model's rules."""

    default_error_messages = {**MESSAGES, "invalid": "This field is text."}

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "allow_blank": True, **options})

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class PasswordField(TextField):
    """Take a password straight into a Secret; it is never part of an answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"write_only": True, **options})

    def run_validation(self, data: Any = empty) -> Any:
        # The rules that read text run in the action, on the Secret.
        is_empty, value = self.validate_empty_values(data)
        return value if is_empty else Secret(self.to_internal_value(value))


class WholeNumberField(serializers.IntegerField):
    default_error_messages = {**MESSAGES, "invalid": "This field is a whole number."}

    def to_internal_value(self, data: object) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class FlagField(serializers.BooleanField):
    default_error_messages = {**MESSAGES, "invalid": "This field is true or false."}

    def to_internal_value(self, data: object) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


@extend_schema_field({"type": "number", "minimum": 1, "multipleOf": 0.01})
class NumberField(serializers.Field[Decimal, Any, float, Any]):
    default_error_messages = {**MESSAGES, "invalid": "This field is a number."}

    def to_internal_value(self, data: object) -> Decimal:
        if not isinstance(data, int | Decimal) or isinstance(data, bool):
            self.fail("invalid")
        return Decimal(data)

    def to_representation(self, value: Decimal) -> float:
        return float(value)


class WordField(serializers.ChoiceField):
    default_error_messages = {**MESSAGES, "invalid_choice": "This field is one of {allowed}."}

    def to_internal_value(self, data: object) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", allowed=", ".join(map(str, self.choices)))
        return data


class IdField(serializers.UUIDField):
    default_error_messages = {**MESSAGES, "invalid": "This field is a UUID as text."}

    def to_internal_value(self, data: object) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid")
        value: UUID = super().to_internal_value(data)
        return value


class TextListField(serializers.ListField):
    child = TextField()
    default_error_messages = {**MESSAGES, "not_a_list": "This field is a list of texts."}


class MomentField(serializers.DateTimeField):
    def to_representation(self, value: Any) -> str:
        return rfc3339(value)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuse fields that are unknown or ours to set, each by its name, together with all other wrong fields."""

    default_error_messages = {**MESSAGES, "invalid": "This field is an object."}
    read_only_names: ClassVar[frozenset[str]] = frozenset()

    def to_internal_value(self, data: Any) -> Any:
        strangers: dict[str, list[str]] = {}
        if isinstance(data, Mapping):
            for name in data.keys() - self.fields.keys():
                is_ours = name in self.read_only_names
                strangers[str(name)] = ["This field is read-only." if is_ours else "There is no such field."]
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            assert isinstance(error.detail, dict)
            raise serializers.ValidationError({**error.detail, **strangers}) from None
        if strangers:
            raise serializers.ValidationError(strangers)
        return values
