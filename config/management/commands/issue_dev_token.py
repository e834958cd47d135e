from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.devkeys import sign_token
from config.identity import ADMIN_SCOPE, SUBJECT

LONGEST = 24 * 60


class Command(BaseCommand):
    help = "Print a token for the API, signed with the development key; only the token goes to standard output."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sub", default="developer", type=subject, help="who it speaks for")
        parser.add_argument("--scope", default=ADMIN_SCOPE, help="scopes, separated by spaces (default: %(default)s)")
        parser.add_argument("--minutes", default=60, type=minutes, help="how long it is valid (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.JWT_DEV_KEY_PATH:
            raise CommandError("JWT_DEV_KEY_PATH is not set: ask the identity provider for a token.")
        if not Path(settings.JWT_DEV_KEY_PATH).is_file():
            raise CommandError(f"There is no key at {settings.JWT_DEV_KEY_PATH}: run bootstrap first.")
        token = sign_token(subject=options["sub"], scope=options["scope"], minutes=options["minutes"])
        self.stdout.write(token)


def subject(raw: str) -> str:
    if not SUBJECT.fullmatch(raw):
        raise argparse.ArgumentTypeError("1 to 200 printable ASCII characters without spaces")
    return raw


def minutes(raw: str) -> int:
    if not raw.isdecimal() or not 1 <= int(raw) <= LONGEST:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {LONGEST}")
    return int(raw)
