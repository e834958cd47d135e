from __future__ import annotations

import pytest
from django.test import Client

from deploy.dev.openbao import OpenBao
from operators import actions
from operators.actors import Actor
from operators.models import AuditEntry, Operator, OutboxEvent
from operators.secrets import Secret
from operators.vault import Role, vault
from tests.factories import PASSWORD, make_operator
from tests.operators.console import LIST, page, typed

pytestmark = pytest.mark.django_db

ADD = f"{LIST}add/"
CANARY = "Zq7-canary"


def test_it_creates_an_operator_and_shows_its_page(staff_client: Client) -> None:
    response = staff_client.post(ADD, typed())

    operator = Operator.objects.get()
    assert response.status_code == 302
    assert response["Location"] == page("change", operator)
    assert (operator.status, operator.version, operator.created_by) == ("INACTIVE", 1, "root-of-tests")
    assert operator.contacts == ["NOC, noc@comium.example", "Awa, +220 1234567"]
    assert operator.tags == ["premium", "otp"]
    assert operator.password.reveal() == "s3cr3t-8"
    assert AuditEntry.objects.get(operator=operator).source == "console"
    assert OutboxEvent.objects.get().subject == "operator.config.created"


def test_it_asks_for_a_password_at_creation(staff_client: Client) -> None:
    response = staff_client.post(ADD, typed(password=""))

    assert response.context["errors"]
    assert "password" in response.context["adminform"].form.errors
    assert not Operator.objects.exists()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", " "),
        ("host", "smpp://comium.example:2775/"),
        ("port", "0"),
        ("port", "65536"),
        ("system_id", "sixteen-letters-"),
        ("system_type", "thirteen-long"),
        ("bind_type", "BOTH"),
        ("max_tps", "0"),
        ("burst_multiplier", "0.99"),
        ("enforcement_mode", "MAYBE"),
        ("backup_operator", "00000000-0000-4000-8000-000000000000"),
        ("contacts", "x" * 201),
        ("tags", ",".join(f"tag{number}" for number in range(51))),
        ("password", "x" * 65),
        ("password", "pässword"),
    ],
)
def test_it_names_the_wrong_field_and_never_repeats_the_password(staff_client: Client, field: str, wrong: str) -> None:
    response = staff_client.post(ADD, typed(None, **({"password": CANARY} | {field: wrong})))

    assert response.status_code == 200
    assert list(response.context["adminform"].form.errors) == [field]
    html = response.content.decode()
    assert CANARY not in html
    if field == "password":
        assert wrong not in html
    assert not Operator.objects.exists()


def test_it_warns_of_a_password_that_is_longer_than_the_specification(staff_client: Client) -> None:
    response = staff_client.post(ADD, typed(password="nine-char"), follow=True)

    assert Operator.objects.exists()
    assert "longer than the 8 characters of SMPP v3.4" in response.content.decode()
    assert "nine-char" not in response.content.decode()


def test_it_keeps_spaces_that_belong_to_a_password(staff_client: Client) -> None:
    staff_client.post(ADD, typed(password=" ab "))

    assert Operator.objects.get().password.reveal() == " ab "


def test_it_names_and_links_the_operator_with_the_same_name(staff_client: Client) -> None:
    existing = make_operator(name="COMIUM")

    response = staff_client.post(ADD, typed(password=CANARY))

    assert response.status_code == 409
    error = str(response.context["adminform"].form.errors["name"])
    assert "COMIUM" in error and page("change", existing) in error
    assert CANARY not in response.content.decode()


def test_it_names_and_links_the_operator_with_the_same_bind(staff_client: Client) -> None:
    existing = make_operator(name="Other", host="smpp.comium.example", system_id="comium_tx")

    response = staff_client.post(ADD, typed())

    errors = response.context["adminform"].form.errors
    assert page("change", existing) in str(errors["host"])
    assert {"host", "port", "system_id"} == set(errors)


def test_it_escapes_what_another_operator_is_called(staff_client: Client) -> None:
    make_operator(name="<script>alert(1)</script>", host="smpp.comium.example", system_id="comium_tx")

    response = staff_client.post(ADD, typed())

    assert "<script>alert(1)" not in response.content.decode()


def test_it_saves_nothing_while_vault_is_sealed(staff_client: Client, openbao: OpenBao) -> None:
    openbao.seal()
    try:
        response = staff_client.post(ADD, typed(password=CANARY))
    finally:
        openbao.unseal()

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    html = response.content.decode()
    assert "Nothing was saved" in html
    assert "comium_tx" in html  # what was typed is still there
    assert CANARY not in html
    assert not Operator.objects.exists()
    assert staff_client.post(ADD, typed(password=CANARY)).status_code == 302


def test_it_changes_only_what_was_typed(staff_client: Client) -> None:
    operator = make_operator(max_tps=10)

    response = staff_client.post(page("change", operator), typed(operator, max_tps="20", reason="CHG-1"))

    assert response.status_code == 302
    entry = AuditEntry.objects.get(version=2)
    assert entry.changes == {"tpsLimit.maxTps": [10, 20]}
    assert entry.reason == "CHG-1"


def test_it_leaves_an_unchanged_operator_alone(staff_client: Client) -> None:
    operator = make_operator(tags=["b", "a"], contacts=["NOC"])

    response = staff_client.post(page("change", operator), typed(operator))

    assert response.status_code == 302
    operator.refresh_from_db()
    assert operator.version == 1


def test_it_keeps_the_password_when_the_box_stays_empty(staff_client: Client) -> None:
    operator = make_operator()

    staff_client.post(page("change", operator), typed(operator, name="Renamed"))

    operator.refresh_from_db()
    assert operator.credential_version == 1
    assert vault(Role.INTERNAL).read(f"ops/operators/{operator.pk}/credentials", version=1)["password"] == Secret(
        PASSWORD
    )


def test_it_rotates_the_password_that_was_typed_while_editing(staff_client: Client) -> None:
    operator = make_operator()

    staff_client.post(page("change", operator), typed(operator, password="n3w-pass"))

    operator.refresh_from_db()
    assert operator.credential_version == 2
    assert operator.password.reveal() == "n3w-pass"


def test_it_never_fills_the_password_in(staff_client: Client) -> None:
    operator = make_operator(password=CANARY[:8])

    html = staff_client.get(page("change", operator)).content.decode()

    assert CANARY[:8] not in html
    assert 'type="password"' in html
    assert 'autocomplete="new-password"' in html


def test_it_opens_the_form_without_asking_vault(staff_client: Client, openbao: OpenBao) -> None:
    operator = make_operator()
    openbao.pause()
    try:
        assert staff_client.get(page("change", operator)).status_code == 200
        assert staff_client.post(page("change", operator), typed(operator, name="Renamed")).status_code == 302
    finally:
        openbao.resume()


def test_it_refuses_to_save_over_somebody_elses_change(staff_client: Client, actor: Actor) -> None:
    operator = make_operator(max_tps=10)
    form = typed(operator, max_tps="30", password=CANARY)
    actions.update_operator(actor=actor, operator_id=operator.pk, changes={"max_tps": 20}, reason="CHG-7")

    response = staff_client.post(page("change", operator), form)

    assert response.status_code == 412
    html = response.content.decode()
    assert "Somebody else changed this operator meanwhile" in html
    assert "alice" in html and "CHG-7" in html
    assert CANARY not in html
    shown = response.context["adminform"].form
    assert shown["max_tps"].value() == "30"
    assert "max_tps" in shown.errors
    operator.refresh_from_db()
    assert (operator.max_tps, operator.version) == (20, 2)


def test_it_merges_a_change_of_another_field_and_saves_at_the_second_click(staff_client: Client, actor: Actor) -> None:
    backup = make_operator()
    operator = make_operator(max_tps=10, host="old.example")
    form = typed(operator, host="new.example")
    actions.update_operator(
        actor=actor,
        operator_id=operator.pk,
        changes={"max_tps": 20, "use_tls": True, "tags": ["x", "y"], "backup_operator_id": backup.pk},
    )

    response = staff_client.post(page("change", operator), form)

    shown = response.context["adminform"].form
    again = {name: shown[name].value() for name in shown.fields}
    assert again["host"] == "new.example"
    assert (again["max_tps"], again["use_tls"], again["tags"]) == ("20", True, "x, y")
    assert again["backup_operator"] == str(backup.pk)
    again = {name: value for name, value in again.items() if value not in (None, False)}
    assert staff_client.post(page("change", operator), again).status_code == 302
    operator.refresh_from_db()
    assert (operator.host, operator.max_tps, operator.use_tls, operator.version) == ("new.example", 20, True, 3)


def test_it_takes_the_same_change_by_two_people_for_one(staff_client: Client, actor: Actor) -> None:
    operator = make_operator(max_tps=10)
    form = typed(operator, max_tps="20", name="Renamed")
    actions.update_operator(actor=actor, operator_id=operator.pk, changes={"max_tps": 20})

    response = staff_client.post(page("change", operator), form)

    shown = response.context["adminform"].form
    assert response.status_code == 412
    assert "max_tps" not in shown.errors
    assert (shown["max_tps"].value(), shown["name"].value()) == ("20", "Renamed")


def test_it_refuses_a_ring_of_backups_at_the_field(staff_client: Client) -> None:
    first = make_operator()
    second = make_operator(backup_operator_id=first.pk)

    response = staff_client.post(page("change", first), typed(first, backup_operator=str(second.pk)))

    assert response.status_code == 400
    assert list(response.context["adminform"].form.errors) == ["backup_operator"]


def test_it_offers_live_operators_as_backup_but_not_the_one_itself(staff_client: Client, actor: Actor) -> None:
    operator = make_operator(name="Telco one")
    make_operator(name="Telco two")
    actions.delete_operator(actor=actor, operator_id=make_operator(name="Telco gone").pk)
    field = {"app_label": "operators", "model_name": "operator", "field_name": "backup_operator", "term": "telco"}

    found = staff_client.get("/admin/autocomplete/", {**field, "not": str(operator.pk)}).json()["results"]
    at_creation = staff_client.get("/admin/autocomplete/", field).json()["results"]

    assert [result["text"] for result in found] == ["Telco two"]
    assert [result["text"] for result in at_creation] == ["Telco one", "Telco two"]
    widget = staff_client.get(page("change", operator)).content.decode()
    assert f"/admin/autocomplete/?not={operator.pk}" in widget


def test_it_answers_404_for_what_is_no_operator(staff_client: Client) -> None:
    assert staff_client.get(f"{LIST}nonsense/change/").status_code == 404
    assert staff_client.get(f"{LIST}00000000-0000-4000-8000-000000000000/change/").status_code == 404


def test_it_stores_no_value_in_djangos_own_log(staff_client: Client) -> None:
    from django.contrib.admin.models import LogEntry

    staff_client.post(ADD, typed())
    operator = Operator.objects.get()
    staff_client.post(page("change", operator), typed(operator, password="n3w-pass"))

    assert not LogEntry.objects.exists()


def test_it_refuses_a_backup_that_is_no_id_at_its_field(staff_client: Client) -> None:
    response = staff_client.post(f"{LIST}add/", typed(backup_operator="nonsense"))

    assert response.status_code == 200
    assert "backup_operator" in response.context["adminform"].form.errors
