"""Read X-Forwarded-Client-Cert, in which Envoy tells whose certificate it has verified.

Elements have commas between them, their `key=value` pairs semicolons; a value in double quotes may hold both, and a
double quote after a backslash. Every proxy on the way appends an element, so that the last is our own proxy's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

LONGEST: Final = 8190
PAIR: Final = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))(?=[,;]|\Z)')


class Malformed(ValueError):
    """The header is not what Envoy writes."""


@dataclass(frozen=True)
class Names:
    """The names on a certificate by which its holder may be known."""

    uris: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)


def last_element(header: str) -> Names:
    """Return what the nearest proxy says; raises Malformed unless the header can be read to its end."""
    if len(header) > LONGEST or not header.isascii() or not header.isprintable():
        raise Malformed
    names = Names()
    position = 0
    while True:
        match = PAIR.match(header, position)
        if match is None:
            raise Malformed
        key, quoted, bare = match.groups()
        value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        # Envoy writes an empty URI for a certificate without one.
        if key.lower() == "uri" and value:
            names.uris.append(value)
        elif key.lower() == "dns" and value:
            names.hosts.append(value)
        position = match.end()
        if position == len(header):
            return names
        if header[position] == ",":
            names = Names()
        position += 1
