"""Draws by weight, always the same for a number and a rule: over many numbers, shares come out by weight.

Weighted rendezvous hashing: the least of -ln(u)/weight wins, where u is made of the 64-bit BLAKE2b of the number's
ASCII and the rule id's 16 octets. What one rule draws does not depend on the others, so that when one goes, only its
own numbers move.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import log
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from routing.rulebook import Array

_OCTETS: Final = 8
_BLANK: Final = blake2b(digest_size=_OCTETS)  # copied in less time than a new one takes
_BITS: Final = 52  # what a float holds exactly, with half a step to keep clear of 0 and 1


def draw(number: str, rule_id: bytes, weight: int) -> tuple[float, bytes]:
    return -log(_uniform(int.from_bytes(_digest(number.encode(), rule_id)))) / weight, rule_id


def draw_many(numbers: Iterable[bytes], rule_ids: Iterable[bytes], weights: Array) -> Array:
    """Draw for each number and the rule beside it."""
    import numpy as np  # loaded by the first list, and not by every command

    digests = np.frombuffer(b"".join(map(_digest, numbers, rule_ids)), dtype=f">u{_OCTETS}")
    lots: Array = -np.log(_uniform(digests)) / weights
    return lots


def _digest(number: bytes, rule_id: bytes) -> bytes:
    blank = _BLANK.copy()
    blank.update(number + rule_id)
    return blank.digest()


def _uniform(hashed: Any) -> Any:
    """Place an integer, or each of an array of them, between 0 and 1."""
    return ((hashed >> (8 * _OCTETS - _BITS)) + 0.5) / (1 << _BITS)
