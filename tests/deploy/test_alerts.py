from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from django.conf import settings
from prometheus_client import REGISTRY

from health.lag import Lag
from health.metrics import dead  # noqa: F401 - puts health's families among the known ones
from health.partitions import PartitionsCollector
from operators import backlog

# Nobody is woken for what loses nothing before the morning.
WARNINGS = {"OpsHealthDeadLetters", "OpsHealthPartitions"}
PROMETHEUS = settings.BASE_DIR / "deploy" / "prometheus"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def known_names() -> set[str]:
    collectors = (backlog.OutboxBacklogCollector(), PartitionsCollector(), Lag())
    families = [*REGISTRY.collect(), *(family for collector in collectors for family in collector.describe())]
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def test_it_alerts_on_what_this_service_can_lose() -> None:
    assert [rule["alert"] for rule in rules()] == [
        "OpsVaultErrors",
        "OpsVaultReadErrors",
        "OpsVaultAuthErrors",
        "OpsPgErrors",
        "OpsNatsPublishErrors",
        "OpsHealthIngestStale",
        "OpsHealthDeadLetters",
        "OpsHealthPartitions",
    ]


@pytest.mark.django_db  # another test may have put the backlog among the families
@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_it_alerts_on_families_that_exist_and_links_a_page(rule: dict[str, Any]) -> None:
    patterns = re.findall(r'__name__=~"([^"]+)"', rule["expr"])
    plain = set(re.findall(r"\bops_\w+", re.sub(r'__name__=~"[^"]+"', "", rule["expr"])))
    names = known_names()
    assert plain | set(patterns)
    assert plain <= names
    for pattern in patterns:
        assert {name for name in names if re.fullmatch(pattern, name)} == {
            f"ops_operator_{change}_total" for change in ("create", "update", "delete")
        }
    page = settings.BASE_DIR / rule["annotations"]["runbook"]
    text = page.read_text()
    assert rule["alert"] in text.splitlines()[0]
    for part in ("**What it means.**", "**Look.**", "**Mend.**"):
        assert part in text
    assert rule["labels"]["severity"] == ("warn" if rule["alert"] in WARNINGS else "page")
    assert rule["for"]


def test_it_links_pages_that_exist() -> None:
    docs = settings.BASE_DIR / "docs"
    for page in [docs / "OBSERVABILITY.md", *sorted((docs / "runbooks").glob("OPS_*.md"))]:
        for link in re.findall(r"\]\(([^)#]+\.md)\)", page.read_text()):
            assert (page.parent / link).is_file(), f"{page.name} links {link}"


def test_it_has_for_every_alert_a_case_that_fires_and_one_that_does_not() -> None:
    cases = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    checks = [check for case in cases for check in case["alert_rule_test"]]
    for rule in rules():
        outcomes = {bool(check["exp_alerts"]) for check in checks if check["alertname"] == rule["alert"]}
        assert outcomes == {True, False}, rule["alert"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)")
def test_it_fires_as_the_cases_say() -> None:
    cases = str(PROMETHEUS / "alerts.test.yml")
    done = subprocess.run(["promtool", "test", "rules", cases], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
