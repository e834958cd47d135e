from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.devcerts import RENEW_BEFORE, Authority, Pair, ensure_dev_certificates

NAMES = ("ca", "server", "smpp-connector", "routing-engine")


def kept(home: Path) -> dict[str, bytes]:
    return {name: (home / f"{name}.crt").read_bytes() for name in NAMES}


def changed(home: Path, before: dict[str, bytes]) -> set[str]:
    return {name for name, content in kept(home).items() if content != before[name]}


def test_it_makes_them_once_and_keeps_the_keys_to_their_owner(tmp_path: Path) -> None:
    home = tmp_path / "certificates"
    made = ensure_dev_certificates(home)
    before = kept(home)
    assert ensure_dev_certificates(home) == made
    assert changed(home, before) == set()
    assert made["INTERNAL_TLS_CA"] == str(home / "ca.crt")
    assert made["INTERNAL_CALLERS"] == (
        "smpp-connector=spiffe://ops.local/ns/sms/sa/smpp-connector;"
        "routing-engine=spiffe://ops.local/ns/sms/sa/routing-engine"
    )
    assert {stat.S_IMODE((home / f"{name}.key").stat().st_mode) for name in NAMES} == {0o600}


def test_it_renews_what_is_near_its_end_missing_or_broken(tmp_path: Path) -> None:
    ensure_dev_certificates(tmp_path)
    before = kept(tmp_path)
    authority = Pair.load(tmp_path, "ca")
    assert authority
    now = datetime.now(UTC)
    soon = now + RENEW_BEFORE - timedelta(hours=1)
    Authority(authority).issue("server", hosts=["localhost"], is_server=True, valid=(now, soon)).save(
        tmp_path, "server"
    )
    (tmp_path / "routing-engine.key").write_bytes(b"half a k")
    ensure_dev_certificates(tmp_path)
    assert changed(tmp_path, before) == {"server", "routing-engine"}
    server = Pair.load(tmp_path, "server")
    assert server
    assert server.is_fresh()


def test_it_signs_all_of_them_anew_with_a_new_authority(tmp_path: Path) -> None:
    ensure_dev_certificates(tmp_path)
    before = kept(tmp_path)
    (tmp_path / "ca.key").unlink()
    ensure_dev_certificates(tmp_path)
    assert changed(tmp_path, before) == set(NAMES)
