"""Read settings from the environment and refuse values that make no sense."""

from __future__ import annotations

import os
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

# X_FILE may name a file that holds the value of X, as container platforms mount secrets.
env = environ.FileAwareEnv()


def load_local_env() -> None:
    """Take what `make run` wrote to .dev/env (or OPS_DOTENV names); variables that are set already win."""
    path = Path(os.environ.get("OPS_DOTENV", BASE_DIR / ".dev" / "env"))
    if path.is_file():
        environ.Env.read_env(path, overwrite=False)


def bounded(name: str, *, default: int, low: int, high: int) -> int:
    """Read a whole number that must lie within low..high."""
    raw = str(env.str(name, default=str(default)))
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from None
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must lie between {low} and {high}, not {value}.")
    return value


def seconds(name: str, *, default: float, low: float, high: float) -> float:
    """Read a duration in seconds that must lie within low..high."""
    raw = str(env.str(name, default=str(default)))
    try:
        value = float(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number of seconds, not {raw!r}.") from None
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must lie between {low} and {high} seconds, not {value:g}.")
    return value


def flag(name: str, *, default: bool) -> bool:
    """Read true or false; anything else is an error rather than a guess."""
    raw = str(env.str(name, default=str(default))).lower()
    if raw not in {"true", "false", "1", "0"}:
        raise ImproperlyConfigured(f"{name} must be true or false, not {raw!r}.")
    return raw in {"true", "1"}


def assignments(name: str) -> tuple[tuple[str, str], ...]:
    """Read `key=value|value;key=value` as pairs, in their order; the parts are taken as they stand."""
    pairs = []
    for part in filter(None, (part.strip() for part in str(env.str(name, default="")).split(";"))):
        key, equals, values = part.partition("=")
        if not equals:
            raise ImproperlyConfigured(f"{name} must be a list of NAME=VALUE with semicolons; {part!r} is none.")
        pairs += [(key.strip(), value.strip()) for value in values.split("|")]
    return tuple(pairs)


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Read a list of addresses and CIDR ranges with commas."""
    try:
        return tuple(ip_network(part.strip()) for part in env.list(name, default=[]))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must list addresses or CIDR ranges: {error}.") from None


def process_name() -> str:
    """Name this process for pg_stat_activity, logs and spans: `web`, `internal`, or the management command."""
    if len(sys.argv) > 1 and Path(sys.argv[0]).name == "manage.py":
        return sys.argv[1]
    return "internal" if os.environ.get("OPS_LISTENER") == "internal" else "web"
