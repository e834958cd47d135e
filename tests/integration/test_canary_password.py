"""One unmistakable password through every door; then a search for it in everything that is kept, sent or shown."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter
from rest_framework.test import APIClient

from deploy.dev.packages import find_postgres
from operators import actions, outbox
from operators.models import Operator
from operators.secrets import Secret
from operators.vault import Role, vault
from tests.factories import ALICE, values
from tests.servers import TestServers
from tests.streams import Message

pytestmark = pytest.mark.django_db(transaction=True)

# Its encodings all differ from it, and none can occur by chance.
CANARY = "Zq7\"<&%'+K#x9"


def forms_of(secret: str) -> dict[str, bytes]:
    """Write the secret in every encoding in which it might hide."""
    raw = secret.encode()
    return {
        "plain": raw,
        "base64": base64.b64encode(raw).rstrip(b"="),
        "base64url": base64.urlsafe_b64encode(raw).rstrip(b"="),
        "hex": raw.hex().encode(),
        "url": quote(secret, safe="").encode(),
        "form": quote_plus(secret).encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "html": html.escape(secret).encode(),
        "repr": repr(secret)[1:-1].encode(),
        "sql": secret.replace("'", "''").encode(),
        "csv": secret.replace('"', '""').encode(),
    }


class Sinks:
    """Collect what came out, by name, and search it."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def add(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        self.contents[name] = self.contents.get(name, b"") + data

    def finds(self, secret: str) -> list[str]:
        return [
            f"{name} ({form})"
            for name, content in self.contents.items()
            for form, needle in forms_of(secret).items()
            if needle in content
        ]


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """Everything that any logger says, at DEBUG, in the house's own format."""
    stream = io.StringIO()
    root = logging.getLogger()
    handler = logging.StreamHandler(stream)
    if root.handlers:
        handler.setFormatter(root.handlers[0].formatter)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def browser() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model().objects.create_superuser("root-of-tests"))
    return client


def api_body(**extra: object) -> dict[str, Any]:
    made = values()
    return {
        "name": made["name"],
        "host": made["host"],
        "systemId": made["system_id"],
        "tpsLimit": {"maxTps": 5},
        "password": CANARY,
        **extra,
    }


def form_body(**extra: object) -> dict[str, Any]:
    made = values()
    return {
        "name": made["name"],
        "host": made["host"],
        "port": 2775,
        "system_id": made["system_id"],
        "bind_type": "TRANSCEIVER",
        "max_tps": 5,
        "burst_multiplier": "1.50",
        "enforcement_mode": "HARD_REJECT",
        "password": CANARY,
        **extra,
    }


def through_the_api(api: APIClient, sinks: Sinks) -> None:
    created = api.post("/v1/admin/operators", api_body(), HTTP_IDEMPOTENCY_KEY="canary-1")
    assert created.status_code == 201
    url = f"/v1/admin/operators/{created.json()['operatorId']}"
    answers = [
        created,
        api.patch(url, {"password": CANARY}, HTTP_IF_MATCH='"1"'),
        api.post(f"{url}/revert-credential", {}),
        api.get(url),
        api.get(f"{url}/history"),
        api.get("/v1/admin/operators"),
        # Refused ones: wrong values beside it, in its place, malformed JSON, an unknown field, a duplicate, no token.
        api.post("/v1/admin/operators", api_body(port=0, name="")),
        api.post("/v1/admin/operators", api_body(password=CANARY * 9)),
        api.post("/v1/admin/operators", api_body(password=[CANARY])),
        api.post("/v1/admin/operators", api_body(surprise=1)),
        api.post("/v1/admin/operators", api_body(host=created.json()["host"], systemId=created.json()["systemId"])),
        api.generic("POST", "/v1/admin/operators", f'{{"password": "{CANARY}', "application/json"),
        api.generic("POST", "/v1/admin/operators", json.dumps(api_body()), "text/plain"),
        APIClient().post("/v1/admin/operators", api_body()),
        api.patch(url, {"password": CANARY}, HTTP_IF_MATCH='"99"'),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:6] == [201, 200, 200, 200, 200, 200]
    assert all(400 <= status < 500 for status in statuses[6:]), statuses
    for number, answer in enumerate(answers):
        sinks.add(f"API answer {number}", answer.content + str(answer.headers).encode())


def through_the_console(browser: Client, sinks: Sinks) -> None:
    add = reverse("admin:operators_operator_add")
    pages = [
        browser.post(add, form_body(port=0)),
        browser.post(add, form_body(password=CANARY * 9)),
        browser.post(add, form_body(), follow=True),
    ]
    operator = Operator.objects.order_by("-created_at")[0]
    assert operator.password.reveal() == CANARY
    change = reverse("admin:operators_operator_change", args=[operator.pk])
    stored = {"name": operator.name, "host": operator.host, "system_id": operator.system_id}
    pages += [
        browser.post(change, form_body(**stored, expected_version=1, max_tps=0)),
        browser.post(change, form_body(**stored, expected_version=1), follow=True),
        browser.post(change, form_body(**stored, expected_version=1), follow=True),
        browser.get(change),
        browser.get(reverse("admin:operators_operator_history", args=[operator.pk])),
        browser.get(reverse("admin:operators_operator_changelist"), {"q": "Carrier"}),
        browser.get(reverse("admin:index")),
    ]
    for number, page in enumerate(pages):
        assert page.status_code in {200, 409, 412}, (number, page.status_code)
        sinks.add(f"console page {number}", page.content)


def through_the_migration(tmp_path: Path, process_env: dict[str, str], sinks: Sinks) -> None:
    sheet, export, report = tmp_path / "sheet.csv", tmp_path / "export.csv", tmp_path / "report.json"
    header = (
        "Operator,SMPP Host,Port,System ID,System Type,Bind,TPS,Burst,On limit,Status,Prefixes,"
        "Cost/SMS,Currency,MCC,MNC,Contact,Notes"
    )
    good = "Good,good.example,2775,good,,TRX,10,,,live,+4670,0.01,EUR,,,,"
    bad = "Bad,bad.example,99999,bad,,TRX,10,,,live,+4671,0.01,EUR,,,,"
    sheet.write_text("\n".join([header, good, bad]) + "\n")
    with export.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["url", "username", "password", "totp", "extra", "name", "grouping", "fav"])
        rows.writerow(["http://good.example", "good", CANARY, "", "", "Good", "", "0"])
        rows.writerow(["http://bad.example", "bad", CANARY, "", "", "Bad", "", "0"])
    ran = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "migrate_legacy_operators",
            str(sheet),
            "--credentials",
            str(export),
            "--report",
            str(report),
        ],
        env=process_env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert Operator.objects.get(name="Good").password.reveal() == CANARY
    sinks.add("migration's output", ran.stdout + ran.stderr)
    sinks.add("migration's report", report.read_bytes())


def through_a_crash(monkeypatch: pytest.MonkeyPatch, api: APIClient, browser: Client, sinks: Sinks) -> None:
    """Let the action fail in its middle, and look at what an error report would show."""

    def explode(*_: object) -> None:
        raise RuntimeError("the outbox is broken")

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "append", explode)
        api.raise_request_exception = False
        answers: list[Any] = [
            api.post("/v1/admin/operators", api_body()),
            browser.post(reverse("admin:operators_operator_add"), form_body()),
        ]
        for number, answer in enumerate(answers):
            assert answer.status_code == 500
            sinks.add(f"crash page {number}", answer.content)
            request = answer.wsgi_request
            kind, error, trace = answer.exc_info
            assert kind is RuntimeError
            for is_email in (False, True):
                reporter = ExceptionReporter(request, kind, error, trace, is_email=is_email)
                sinks.add(f"error report {number}", reporter.get_traceback_html() + reporter.get_traceback_text())
        try:
            actions.create_operator(actor=ALICE, values=values(), password=Secret(CANARY))
        except RuntimeError:
            reporter = ExceptionReporter(None, *sys.exc_info())
            sinks.add("error report of an action", reporter.get_traceback_html() + reporter.get_traceback_text())


def database_dump(servers: TestServers) -> bytes:
    pg_dump = find_postgres() / "pg_dump"
    url = servers.postgres.url_of(connection.settings_dict["NAME"])
    return subprocess.run([str(pg_dump), "--inserts", url], capture_output=True, check=True, timeout=60).stdout


def test_it_can_find_every_form_of_a_password() -> None:
    for form, needle in forms_of(CANARY).items():
        sinks = Sinks()
        sinks.add("a leaking sink", b"before " + needle + b" after")
        assert any(form in hit for hit in sinks.finds(CANARY)) or sinks.finds(CANARY)


def test_it_keeps_a_password_out_of_everything_but_vault(
    api: APIClient,
    browser: Client,
    tmp_path: Path,
    process_env: dict[str, str],
    servers: TestServers,
    log_lines: io.StringIO,
    drain: Callable[[], object],
    messages: Callable[..., list[Message]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sinks = Sinks()
    through_the_api(api, sinks)
    through_the_console(browser, sinks)
    through_the_migration(tmp_path, process_env, sinks)
    through_a_crash(monkeypatch, api, browser, sinks)
    drain()

    published = messages()
    assert len(published) >= 6
    sinks.add("stream", b"".join(message.raw + str(message.headers).encode() for message in published))
    sinks.add("database", database_dump(servers))
    fixture = io.StringIO()
    call_command("dumpdata", "operators", "sessions", "auth", "admin", stdout=fixture)
    sinks.add("dumpdata", fixture.getvalue())
    sinks.add("metrics", browser.get("/metrics").content)
    sinks.add("logs", log_lines.getvalue())
    captured = capfd.readouterr()
    sinks.add("output", captured.out + captured.err)
    for operator in Operator.objects.all():
        sinks.add("repr", f"{operator!r} {operator.__dict__} {operator.password!r} {operator.password}")

    assert all(sinks.contents.values()), "a sink that caught nothing proves nothing"
    assert b"INSERT INTO ops.operators_operator" in sinks.contents["database"]
    assert b"operator create done" in sinks.contents["logs"]
    assert sinks.finds(CANARY) == []
    operator = Operator.objects.get(name="Good")
    assert (
        vault(Role.INTERNAL).read(f"ops/operators/{operator.pk}/credentials", version=1)["password"].reveal() == CANARY
    )
