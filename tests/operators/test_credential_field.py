"""The field on its own: as Django sees it (checks, migrations, queries, forms) and as a place where nothing leaks."""

from __future__ import annotations

import copy
import io
import json
import pickle
import uuid
from typing import Any

import pytest
from django import forms
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations import operations
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.forms.models import model_to_dict
from django.test.utils import isolate_apps
from prometheus_client import REGISTRY

from operators.fields import CredentialDescriptor, CredentialInput, VaultCredentialField
from operators.models import Operator
from operators.secrets import MASK, Secret
from operators.vault import Role, SecretMissing, vault
from tests.factories import PASSWORD, make_operator

CANARY = "Zq7#canary!pw"
OPTIONS: dict[str, Any] = {"path": "things/{pk}", "key": "pin", "version_field": "pin_version"}


def field(**options: Any) -> VaultCredentialField:
    return VaultCredentialField(**{**OPTIONS, **options})


def found(model: type[models.Model], name: str = "pin") -> VaultCredentialField:
    made = model._meta.get_field(name)
    assert isinstance(made, VaultCredentialField)
    return made


class TestChecks:
    def ids(self, **options: Any) -> list[str]:
        class Thing(models.Model):
            name = models.CharField(max_length=10)
            pin_version = models.PositiveIntegerField(null=True)
            pin = field(**options)

            class Meta:
                app_label = "operators"

        return [str(message.id) for message in found(Thing).check()]

    @isolate_apps("operators")
    @pytest.mark.parametrize("options", [{"stored_with": ("name",)}, {"path": "{name}/{id}"}])
    def test_it_accepts_what_is_right(self, options: dict[str, Any]) -> None:
        assert self.ids(**options) == []

    @isolate_apps("operators")
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"path": "things/{pk"}, "vault_credential.E001"),
            ({"path": "things/{}"}, "vault_credential.E001"),
            ({"path": "things/{pk.secret}"}, "vault_credential.E001"),
            ({"path": "things/{pk!r}"}, "vault_credential.E001"),
            ({"path": "things/{pk:>9}"}, "vault_credential.E001"),
            ({"path": "things/{colour}"}, "vault_credential.E001"),
            ({"path": "things/{pin}"}, "vault_credential.E001"),
            ({"path": "things/shared"}, "vault_credential.E002"),
            ({"key": ""}, "vault_credential.E002"),
            ({"version_field": "absent"}, "vault_credential.E003"),
            ({"version_field": "name"}, "vault_credential.E003"),
            ({"version_field": "pin"}, "vault_credential.E003"),
            ({"stored_with": ("absent",)}, "vault_credential.E004"),
            ({"stored_with": ("pin",)}, "vault_credential.E004"),
            ({"null": True}, "vault_credential.E005"),
            ({"unique": True}, "vault_credential.E005"),
            ({"db_index": True}, "vault_credential.E005"),
            ({"db_column": "pin"}, "vault_credential.E005"),
            ({"default": None}, "vault_credential.E005"),
            ({"choices": [("a", "A")]}, "vault_credential.E005"),
        ],
    )
    def test_it_refuses_what_makes_no_sense(self, options: dict[str, Any], expected: str) -> None:
        assert self.ids(**options) == [expected]

    @isolate_apps("operators")
    def test_it_cannot_be_a_primary_key(self) -> None:
        class Thing(models.Model):
            pin_version = models.PositiveIntegerField(null=True)
            pin = field(path="things/{pin_version}", primary_key=True)

            class Meta:
                app_label = "operators"

        assert "vault_credential.E005" in [message.id for message in found(Thing).check()]

    def test_it_passes_where_it_is_used(self) -> None:
        assert found(Operator, "password").check() == []

    def test_it_takes_its_options_by_name_only(self) -> None:
        with pytest.raises(TypeError):
            VaultCredentialField("PIN", "things/{pk}", "pin", "pin_version")  # type: ignore[call-arg]


class SubField(VaultCredentialField):
    pass


class TestMigrations:
    def test_it_deconstructs_to_what_builds_it_again(self) -> None:
        _, path, args, kwargs = field(stored_with=["name"], verbose_name="PIN").deconstruct()

        assert path == "operators.fields.VaultCredentialField"
        assert list(args) == []
        assert kwargs == {**OPTIONS, "stored_with": ("name",), "verbose_name": "PIN"}
        assert VaultCredentialField(**kwargs).deconstruct()[1:] == (path, args, kwargs)

    def test_it_lets_a_subclass_keep_its_own_path(self) -> None:
        assert SubField(**OPTIONS).deconstruct()[1] == f"{__name__}.SubField"

    def test_it_is_written_into_migrations(self) -> None:
        text, imports = MigrationWriter.serialize(field())

        assert text == (
            "operators.fields.VaultCredentialField(key='pin', path='things/{pk}', version_field='pin_version')"
        )
        assert imports == {"import operators.fields"}

    @pytest.mark.django_db
    def test_it_stands_in_the_migrations_and_not_in_the_table(self) -> None:
        with connection.cursor() as cursor:
            table = connection.introspection.get_table_description(cursor, Operator._meta.db_table)
        columns = {column.name for column in table}

        assert "credential_version" in columns
        assert "password" not in columns

    @pytest.mark.django_db
    def test_it_migrates_both_ways_without_ever_touching_the_table(self) -> None:
        create = operations.CreateModel(
            "Thing",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("pin_version", models.PositiveIntegerField(null=True)),
                ("pin", field()),
            ],
        )
        steps = [
            create,
            operations.AddField("Thing", "code", field(key="code")),
            operations.AlterField("Thing", "code", field(key="code", path="other/{id}")),
            operations.RenameField("Thing", "code", "passphrase"),
            operations.RemoveField("Thing", "passphrase"),
        ]
        states = [ProjectState()]
        with connection.schema_editor(atomic=False) as editor:
            for step in steps:
                states.append(states[-1].clone())
                step.state_forwards("trial", states[-1])
                step.database_forwards("trial", editor, states[-2], states[-1])
                assert self.columns() == ["id", "pin_version"]
            thing = states[1].apps.get_model("trial", "Thing").objects.create(pin_version=3, pin=Secret("x"))
            assert thing.pin_version == 3
            for index in range(len(steps) - 1, -1, -1):
                assert self.columns() == ["id", "pin_version"]
                steps[index].database_backwards("trial", editor, states[index + 1], states[index])
        assert "trial_thing" not in connection.introspection.table_names()

    def columns(self) -> list[str]:
        with connection.cursor() as cursor:
            table = connection.introspection.get_table_description(cursor, "trial_thing")
            return [column.name for column in table]


class TestAssignment:
    @pytest.mark.parametrize("value", [CANARY, CANARY.encode(), 7, object()])
    def test_it_takes_nothing_but_a_secret_and_does_not_repeat_the_rest(self, value: object) -> None:
        with pytest.raises(TypeError, match="Secret or None") as caught:
            Operator().password = value  # type: ignore[assignment]
        assert CANARY not in str(caught.value)
        with pytest.raises(TypeError):
            Operator(password=value)  # type: ignore[misc]

    def test_it_holds_what_was_assigned_until_the_row_names_another_version(self) -> None:
        operator = Operator(password=Secret("x"), credential_version=1)
        assert operator.password.is_held and operator.password.reveal() == "x"

        operator.credential_version = 2

        assert not operator.password.is_held

    def test_it_forgets_on_none(self) -> None:
        operator = Operator(password=Secret("x"))
        operator.password = None
        assert not operator.password.is_held

    def test_it_fails_closed_before_anything_was_written(self) -> None:
        with pytest.raises(SecretMissing):
            Operator().password.reveal()

    def test_it_gives_the_descriptor_on_the_class(self) -> None:
        assert isinstance(Operator.__dict__["password"], CredentialDescriptor)
        assert Operator.password is Operator.__dict__["password"]

    def test_it_keeps_rows_apart(self) -> None:
        first, second = Operator(password=Secret("a")), Operator(password=Secret("b"))
        assert (first.password.reveal(), second.password.reveal()) == ("a", "b")


class TestPaths:
    def test_it_builds_path_and_payload_from_the_row(self) -> None:
        made = found(Operator, "password")
        operator = Operator(id=uuid.UUID(int=7), system_id="acme")

        assert made.path_for(operator) == "ops/operators/00000000-0000-0000-0000-000000000007/credentials"
        payload = made.payload_for(operator, Secret("x"))
        assert payload == {"system_id": "acme", "password": Secret("x")}

    @isolate_apps("operators")
    @pytest.mark.parametrize("name", ["..", "a/b", "", "a b", "%2e%2e", "é", "x\n", None])
    def test_it_lets_no_row_reach_into_another_ones_path(self, name: str | None) -> None:
        class Thing(models.Model):
            name = models.CharField(max_length=10, null=True)
            pin_version = models.PositiveIntegerField(null=True)
            pin = field(path="things/{name}/pin")

            class Meta:
                app_label = "operators"

        thing = Thing(name=name, pin_version=1)
        with pytest.raises(ValueError, match="name of this thing"):
            thing.pin.reveal()


@pytest.mark.django_db
class TestReading:
    def test_it_reads_the_version_that_the_row_names_each_time_it_is_revealed(self) -> None:
        operator = Operator.objects.get(pk=make_operator().pk)
        path = f"ops/operators/{operator.pk}/credentials"
        before = REGISTRY.get_sample_value("ops_credentials_read_total", {"result": "ok"}) or 0
        secret = operator.password
        vault(Role.ADMIN).write(path, {"password": Secret("newer")}, cas=1)

        assert secret.reveal() == PASSWORD
        Operator.objects.filter(pk=operator.pk).update(credential_version=2)
        operator.refresh_from_db()
        assert secret.reveal() == operator.password.reveal() == "newer"

        after = REGISTRY.get_sample_value("ops_credentials_read_total", {"result": "ok"}) or 0
        assert after - before == 3

    def test_it_never_asks_vault_by_itself(self, settings: Any) -> None:
        pk = make_operator(contacts=["noc@carrier.example"], tags=["eu"]).pk
        settings.VAULT_ADDR = "http://127.0.0.1:1"

        operator = Operator.objects.get(pk=pk)
        operator.clean_fields()
        operator.full_clean()
        repr(operator)
        list(Operator.objects.defer("password"))
        serializers.serialize("json", [operator])
        model_to_dict(operator)
        operator.notes = "changed"
        operator.save(update_fields=["notes"])
        operator.save()

    def test_it_works_on_deferred_rows(self) -> None:
        pk = make_operator().pk
        for rows in (
            Operator.objects.only("name"),
            Operator.objects.only("password"),
            Operator.objects.defer("password"),
        ):
            assert rows.get(pk=pk).password.reveal() == PASSWORD
        assert "password" not in Operator.objects.only("name").get(pk=pk).get_deferred_fields()

    def test_it_says_when_the_version_is_gone(self) -> None:
        operator = make_operator()
        operator.credential_version = 9
        with pytest.raises(SecretMissing):
            operator.password.reveal()

    def test_it_says_when_the_secret_has_no_such_key(self) -> None:
        operator = make_operator()
        path = f"ops/operators/{operator.pk}/credentials"
        operator.credential_version = vault(Role.ADMIN).write(path, {"other": "x"}, cas=1)
        with pytest.raises(SecretMissing, match="no password in version 2"):
            operator.password.reveal()


@pytest.mark.django_db
class TestQueries:
    @pytest.mark.parametrize(
        "query",
        [
            lambda rows: rows.filter(password=CANARY),
            lambda rows: rows.exclude(password__startswith=CANARY),
            lambda rows: rows.filter(password__isnull=True),
            lambda rows: rows.get_or_create(password=Secret(CANARY)),
            lambda rows: rows.update(password=Secret(CANARY)),
            lambda rows: rows.values("password"),
            lambda rows: rows.values_list("password", flat=True),
            lambda rows: rows.annotate(copy=models.F("password")),
            lambda rows: list(rows.order_by("password")),
            lambda rows: rows.aggregate(models.Max("password")),
        ],
    )
    def test_it_cannot_be_asked_of_the_database(self, query: Any) -> None:
        with pytest.raises(FieldError) as caught:
            query(Operator.objects.all())
        assert "password" in str(caught.value)
        assert CANARY not in str(caught.value)

    def test_it_cannot_be_saved_as_a_column(self) -> None:
        operator = make_operator()
        with pytest.raises(ValueError, match="password"):
            operator.save(update_fields=["password"])  # type: ignore[misc]
        with pytest.raises(ValueError, match="concrete"):
            Operator.objects.bulk_update([operator], ["password"])  # type: ignore[misc]

    def test_it_is_not_among_the_values(self) -> None:
        make_operator()
        assert "password" not in Operator.objects.values()[0]
        assert "password" not in [column.name for column in Operator._meta.concrete_fields]

    def test_it_keeps_a_row_that_is_saved_unchanged_in_vault(self) -> None:
        operator = make_operator()
        operator.password = Secret("held, and for an action to write")
        operator.save()
        assert Operator.objects.get(pk=operator.pk).password.reveal() == PASSWORD


@pytest.mark.django_db
class TestNothingLeaks:
    def held(self) -> Operator:
        operator = make_operator()
        operator.password = Secret(CANARY)
        return operator

    def test_it_shows_a_mask(self) -> None:
        operator = self.held()
        assert str(operator.password) == f"{operator.password}" == MASK
        assert CANARY not in repr(operator.__dict__) + repr(vars(operator)) + repr(operator)

    def test_it_refuses_to_pickle_a_row_that_holds_a_password(self) -> None:
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(self.held())

    def test_it_pickles_a_row_whose_password_lies_in_vault(self) -> None:
        operator = Operator.objects.get(pk=make_operator().pk)
        operator.full_clean()

        data = pickle.dumps(operator)

        assert PASSWORD.encode() not in data
        assert pickle.loads(data).password.reveal() == PASSWORD  # noqa: S301 - just made

    def test_it_lets_copies_hold_the_same_secret(self) -> None:
        operator = self.held()
        assert copy.copy(operator).password.reveal() == copy.deepcopy(operator).password.reveal() == CANARY

    @pytest.mark.parametrize("kind", ["json", "python", "xml", "jsonl"])
    def test_it_is_left_out_by_serializers(self, kind: str) -> None:
        operator = self.held()
        for fields in (None, ["name", "password"]):
            text = str(serializers.serialize(kind, [operator], fields=fields))
            assert CANARY not in text and PASSWORD not in text
            assert "password" not in text

    def test_it_is_left_out_of_dumpdata_and_model_to_dict(self) -> None:
        operator = self.held()
        out = io.StringIO()
        call_command("dumpdata", "operators.Operator", stdout=out)
        dumped = json.loads(out.getvalue())

        assert [row["pk"] for row in dumped] == [str(operator.pk)]
        assert "password" not in dumped[0]["fields"]
        assert "password" not in model_to_dict(operator)

    def test_it_does_not_repeat_a_password_in_a_fixture(self) -> None:
        operator = make_operator()
        fixture = json.loads(serializers.serialize("json", [operator]))
        fixture[0]["fields"]["password"] = CANARY

        [loaded] = serializers.deserialize("json", json.dumps(fixture))

        assert CANARY not in repr(loaded) + repr(vars(loaded.object))
        loaded.save()
        assert Operator.objects.get(pk=operator.pk).password.reveal() == PASSWORD


def refuse_short(secret: Secret) -> None:
    if len(secret.reveal()) < 4:
        raise ValidationError("Too short.")


class TestValidation:
    @isolate_apps("operators")
    def test_it_requires_a_first_secret_and_runs_validators_on_an_assigned_one(self) -> None:
        class Thing(models.Model):
            pin_version = models.PositiveIntegerField(null=True, blank=True)
            pin = field(validators=[refuse_short])

            class Meta:
                app_label = "operators"

        def problems(thing: Thing) -> dict[str, list[str]]:
            try:
                thing.clean_fields(exclude=["id"])
            except ValidationError as error:
                return error.message_dict
            return {}

        assert problems(Thing()) == {"pin": ["This field is required."]}
        assert problems(Thing(pin=Secret("abc"))) == {"pin": ["Too short."]}
        thing = Thing(pin=Secret("abcd"))
        assert problems(thing) == {} and thing.pin.reveal() == "abcd"
        assert problems(Thing(pin_version=1)) == {}


class TrialForm(forms.Form):
    name = forms.CharField()
    password = found(Operator, "password").formfield()


class TestForms:
    def test_it_gives_a_secret_and_keeps_its_spaces(self) -> None:
        form = TrialForm({"name": "x", "password": f" {CANARY} "})
        assert form.is_valid()
        assert form.cleaned_data["password"] == Secret(f" {CANARY} ")
        assert CANARY not in repr(form.cleaned_data)

    def test_it_never_fills_in_a_password_also_not_after_an_error(self) -> None:
        filled = TrialForm({"password": CANARY})
        assert not filled.is_valid()
        initial = TrialForm(initial={"password": Secret(CANARY)})

        for html in (filled.as_p(), initial.as_p()):
            assert CANARY not in html and MASK not in html
            assert 'type="password"' in html and 'autocomplete="new-password"' in html

    def test_it_names_what_is_missing(self) -> None:
        form = TrialForm({"name": "x", "password": ""})
        assert form.errors == {"password": ["This field is required."]}

    def test_it_takes_nothing_for_no_change_where_it_is_optional(self) -> None:
        optional = CredentialInput(required=False)
        assert optional.clean("") is None
        assert not optional.has_changed(None, "")
        assert optional.has_changed(None, "x")

    def test_it_sets_the_row_of_a_model_form_and_leaves_it_alone_when_empty(self) -> None:
        class OperatorForm(forms.ModelForm):  # type: ignore[type-arg]
            password = CredentialInput(required=False)

            class Meta:
                model = Operator
                fields = ("notes", "password")

        for typed, is_held in ((CANARY, True), ("", False)):
            form = OperatorForm({"notes": "", "password": typed}, instance=Operator(credential_version=1))
            assert form.is_valid(), form.errors
            assert form.instance.password.is_held is is_held
