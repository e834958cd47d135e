"""The only carrier of a password inside this service."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import NoReturn

MASK = "********"


class Secret:
    """Hold a value, or the way to fetch it, and show it to nobody but the caller of `reveal()`.

    Formatting shows a mask; pickling, copying into JSON and adapting for the database raise TypeError. A secret made
    with `fetch` asks its store each time it is revealed and keeps nothing.
    """

    __slots__ = ("__fetch", "__value")

    def __init__(self, value: str | None = None, *, fetch: Callable[[], str] | None = None) -> None:
        if (value is None) == (fetch is None):
            raise TypeError("A Secret takes a value or a way to fetch it, not both and not neither.")
        self.__value = value
        self.__fetch = fetch

    @property
    def is_held(self) -> bool:
        """Tell whether the value is here in memory, so that revealing it costs no call to its store."""
        return self.__value is not None

    def reveal(self) -> str:
        """Return the value itself; may call the store, and raises its error when it does not answer."""
        if self.__value is not None:
            return self.__value
        assert self.__fetch is not None
        return self.__fetch()

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if not (self.is_held and other.is_held):
            return self is other
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    __hash__ = object.__hash__

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A Secret is never pickled, copied or serialised.")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self
