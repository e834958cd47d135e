"""Find each operator's password in LastPass's CSV export, without ever guessing between two."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from operators import validators
from operators.legacy.lines import tidy
from operators.legacy.table import Table
from operators.secrets import Secret

TITLES: Final = {"url": "url", "username": "username", "password": "password", "name": "name"}
# What LastPass writes into the url of a secure note, which is text and no account.
SECURE_NOTE_HOST: Final = "sn"
# LastPass has exported passwords with these characters as HTML writes them.
HTML_ESCAPED: Final = re.compile(r"&(?:amp|lt|gt|quot|#39);")


@dataclass(frozen=True, slots=True)
class Account:
    """One entry of the export that holds a password."""

    username: str
    host: str
    name: str
    password: Secret


@dataclass(frozen=True)
class Finding:
    """The password of an operator, or the reason why there is none; `warnings` are for a person to look into."""

    password: Secret | None
    problem: str = ""
    warnings: tuple[str, ...] = ()


class Keyring:
    """Hold the export's accounts in memory, to be asked by system_id and host, and then by name.

    The system_id must be written alike, because carriers tell upper from lower case; host and name need not.
    """

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_endpoint: dict[tuple[str, str], list[Account]] = {}
        self._by_name: dict[str, list[Account]] = {}
        for account in accounts:
            if account.username and account.host:
                self._by_endpoint.setdefault((account.username, account.host), []).append(account)
            if account.name:
                self._by_name.setdefault(account.name, []).append(account)

    def find(self, *, system_id: str, host: str, name: str) -> Finding:
        """Look up an operator's password, kept exactly as the export has it."""
        if accounts := self._by_endpoint.get((system_id, host)):
            return _choose(accounts, "username and host")
        if accounts := self._by_name.get(_name_key(name)):
            finding = _choose(accounts, "name")
            if any(account.username in ("", system_id) and account.host in ("", host) for account in accounts):
                return finding
            warning = "The password was found by name alone: the export has another username or host there."
            return Finding(finding.password, finding.problem, (warning, *finding.warnings))
        return Finding(None, "No password was found in the export, neither by username and host nor by name.")


def read_export(stream: BinaryIO, *, source: str = "the export") -> Keyring:
    """Read a whole export; raises UnusableFile, whose message repeats nothing of it."""
    return Keyring(_accounts(Table(stream, source=source, titles=TITLES, required=TITLES.values(), delimiters=",")))


def _accounts(table: Table) -> Iterator[Account]:
    for record in table:
        host = host_of(record.cells["url"])
        if record.cells["password"] and host != SECURE_NOTE_HOST:
            yield Account(
                username=tidy(html.unescape(record.cells["username"])),
                host=host,
                name=_name_key(record.cells["name"]),
                password=Secret(record.cells["password"]),
            )


def host_of(url: str) -> str:
    """Return the host of a URL as operators store it, or nothing where there is none."""
    text = tidy(url)
    if "://" not in text:
        text = f"//{text}"
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        if _is_address(parts.netloc):
            host = parts.netloc
        return validators.normalize_host(host)
    except (ValueError, ValidationError):
        return ""


def _is_address(text: str) -> bool:
    """Tell whether the text is an IP address; an IPv6 one may lack its brackets."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _choose(accounts: list[Account], key: str) -> Finding:
    password = accounts[0].password
    if any(account.password != password for account in accounts):
        return Finding(None, f"The password is ambiguous: the export has several different ones for this {key}.")
    try:
        validators.validate_password(password)
    except ValidationError as error:
        return Finding(None, error.messages[0])
    warnings = tuple(validators.password_warnings(password))
    if HTML_ESCAPED.search(password.reveal()):
        warnings += ("The export may have HTML-escaped this password; compare it with LastPass before you rely on it.",)
    return Finding(password, warnings=warnings)


def _name_key(name: str) -> str:
    return " ".join(html.unescape(name).split()).casefold()
