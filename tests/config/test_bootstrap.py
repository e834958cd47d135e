from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from deploy.dev import env_file
from routing.models import DestinationPrefix
from tests.servers import CALLERS

pytestmark = pytest.mark.django_db(transaction=True)


def bootstrap(tmp_path: Path) -> list[str]:
    out = StringIO()
    call_command("bootstrap", env_file=tmp_path / "env", stdout=out)
    return out.getvalue().splitlines()


def test_it_loads_the_destination_prefixes_once(tmp_path: Path) -> None:
    first = bootstrap(tmp_path)
    assert "destination prefixes" in first
    assert DestinationPrefix.objects.count() > 25_000
    kept = DestinationPrefix.objects.get(prefix="+44")
    DestinationPrefix.objects.filter(prefix="+49").delete()

    second = bootstrap(tmp_path)
    assert "destination prefixes" not in second
    assert second[-1] == first[-1] == "bootstrap done"
    assert DestinationPrefix.objects.get(pk=kept.pk).version == 1
    assert not DestinationPrefix.objects.filter(prefix="+49").exists(), "this version has been loaded"


def test_it_makes_certificates_for_development_alone(tmp_path: Path, settings: Settings) -> None:
    bootstrap(tmp_path)
    assert not (tmp_path / "certificates").exists()
    settings.ENVIRONMENT = "development"
    bootstrap(tmp_path)
    written = env_file.read(tmp_path / "env")
    for name in ("INTERNAL_TLS_CERT", "INTERNAL_TLS_KEY", "INTERNAL_TLS_CA"):
        assert Path(written[name]).parent == tmp_path / "certificates"
        assert Path(written[name]).is_file()
    assert written["INTERNAL_CALLERS"] == CALLERS
