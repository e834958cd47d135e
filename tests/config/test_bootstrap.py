from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from routing.models import DestinationPrefix

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
