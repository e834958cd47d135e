"""Who changes something, and through which door."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    CONSOLE = "console"
    API = "api"
    COMMAND = "command"


@dataclass(frozen=True)
class Actor:
    """Name the person or programme behind a change: a token's `sub`, a staff login, or `migration:RUN_ID`."""

    name: str
    source: Source


def command_actor(command: str) -> Actor:
    """Name whoever runs a command, as far as the machine knows."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = "unknown"
    return Actor(f"{command}:{login}", Source.COMMAND)
