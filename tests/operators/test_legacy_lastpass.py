"""LastPass's export: which entry is taken for an operator, and when none is."""

from __future__ import annotations

import io

import pytest

from operators.legacy.lastpass import Finding, Keyring, host_of, read_export
from operators.legacy.lines import UnusableFile
from tests.legacy_files import export


def ring(*accounts: tuple[str, str, str, str]) -> Keyring:
    return read_export(io.BytesIO(export(*accounts)))


def find(keyring: Keyring, system_id: str = "acct", host: str = "smpp.x.example", name: str = "X +1") -> Finding:
    return keyring.find(system_id=system_id, host=host, name=name)


def password_of(finding: Finding) -> str | None:
    return finding.password.reveal() if finding.password else None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://smpp.x.example", "smpp.x.example"),
        ("SMPP://SMPP.X.example:2775/path?q", "smpp.x.example"),
        (" smpp.x.example:2775 ", "smpp.x.example"),
        ("http://[2001:DB8::1]:2775/", "2001:db8::1"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("http://2001:db8::1", "2001:db8::1"),
        ("http://user@smpp.x.example/", "smpp.x.example"),
        ("http://192.0.2.1:2775", "192.0.2.1"),
        ("", ""),
        ("http://", ""),
        ("http://[broken", ""),
        ("no host at all", ""),
    ],
)
def test_it_takes_the_host_out_of_any_url(url: str, host: str) -> None:
    assert host_of(url) == host


def test_it_finds_by_username_and_host_before_name() -> None:
    keyring = ring(
        ("http://other.example", "acct", "by-name", "X +1"),
        ("http://smpp.x.example:2775", "acct", "by-host", "something else"),
    )
    assert find(keyring) == Finding(find(keyring).password)
    assert password_of(find(keyring)) == "by-host"


def test_it_finds_by_name_whatever_its_case_spaces_and_escaping() -> None:
    keyring = ring(("", "", "secret-1", " Cable &amp;  WIRELESS +16 "))
    assert password_of(find(keyring, name="Cable & Wireless +16")) == "secret-1"


def test_it_warns_when_only_the_name_speaks_for_an_account() -> None:
    keyring = ring(("http://old.example", "old_account", "secret-1", "X +1"))
    finding = find(keyring)
    assert password_of(finding) == "secret-1"
    assert "by name alone" in finding.warnings[0]
    assert find(ring(("", "acct", "secret-1", "X +1"))).warnings == ()


def test_it_tells_upper_from_lower_case_in_the_system_id_alone() -> None:
    keyring = ring(("HTTP://SMPP.X.EXAMPLE", "Acct", "secret-1", "somebody"))
    assert password_of(find(keyring, system_id="Acct")) == "secret-1"
    assert password_of(find(keyring, system_id="acct")) is None


def test_it_never_takes_a_secure_note_or_an_entry_without_password() -> None:
    keyring = ring(("http://sn", "acct", "secret-1", "X +1"), ("http://smpp.x.example", "acct", "", "X +1"))
    assert "No password was found" in find(keyring).problem


def test_it_refuses_to_choose_between_two_passwords_and_takes_two_equal_ones() -> None:
    twice = ("http://smpp.x.example", "acct", "secret-1", "X +1")
    assert password_of(find(ring(twice, twice))) == "secret-1"
    finding = find(ring(twice, ("http://smpp.x.example/", "acct", "secret-2", "X old")))
    assert finding.password is None and "ambiguous" in finding.problem
    by_name = find(ring(("", "a", "secret-1", "X +1"), ("", "b", "secret-2", "x +1")))
    assert by_name.password is None and "ambiguous" in by_name.problem


@pytest.mark.parametrize("password", [" s p ", '"quoted"', ",;'\"", "&amp;", "x" * 64])
def test_it_keeps_the_password_exactly(password: str) -> None:
    assert password_of(find(ring(("http://smpp.x.example", "acct", password, "")))) == password


@pytest.mark.parametrize("password", ["x" * 65, "käse", "tab\t", "two\nlines"])
def test_it_refuses_a_password_that_cannot_be_one_and_does_not_repeat_it(password: str) -> None:
    finding = find(ring(("http://smpp.x.example", "acct", password, "")))
    assert finding.password is None
    assert "1 to 64 printable ASCII" in finding.problem
    assert password not in repr(finding)


@pytest.mark.parametrize(
    ("password", "warning"),
    [("longer-than-8", "longer than the 8"), ("pw-end ", "space"), ("a&lt;b", "HTML-escaped")],
)
def test_it_warns_about_what_is_allowed_but_often_wrong(password: str, warning: str) -> None:
    finding = find(ring(("http://smpp.x.example", "acct", password, "")))
    assert len(finding.warnings) == 1
    assert warning in finding.warnings[0]
    assert password not in str(finding)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"url,username,extra\nx,y,canary-9",
        export(("http://x", "u", "canary-9", "n")) + b'"canary-9',
        export(("http://x", "u", "canary-9", "n")) + b"canary-9\xff",
    ],
)
def test_it_refuses_an_unreadable_export_without_repeating_it(data: bytes) -> None:
    with pytest.raises(UnusableFile) as caught:
        read_export(io.BytesIO(data))
    assert "canary" not in str(caught.value)
