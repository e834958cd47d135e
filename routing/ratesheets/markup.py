"""Parse the XML of a workbook's part by events, so that nothing of it is held that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol
from xml.parsers import expat

from routing.ratesheets.archive import damaged
from routing.ratesheets.limits import MOST_ELEMENTS, MOST_MARKUP
from routing.ratesheets.lines import UnusableSheet

_DEEPEST: Final = 100


class Listener(Protocol):
    """What hears of elements by their local names, and of the text in them."""

    def start(self, name: str, attributes: dict[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, data: str) -> None: ...


def parse(pieces: Iterable[bytes], listener: Listener) -> Iterator[None]:
    """Feed a part to a listener, and pause after each piece.

    Raises UnusableSheet for broken XML, for more elements than a sheet has, and for a DOCTYPE: with one come entities
    that unfold to gigabytes or name other files.
    """
    names: dict[str, str] = {}
    count = depth = 0

    def local(name: str) -> str:
        # Some writers put a namespace's prefix before each name; there are few names.
        found = names.get(name)
        return names.setdefault(name, name.rpartition(":")[2]) if found is None else found

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count, depth
        count += 1
        depth += 1
        if depth > _DEEPEST:
            raise damaged("its XML is nested too deep")
        if count > MOST_ELEMENTS:
            raise UnusableSheet("The workbook holds far more cells than a rate sheet; copy the prices to a new one.")
        listener.start(local(name), attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        listener.end(local(name))

    def doctype(*_: object) -> None:
        raise UnusableSheet("The workbook declares a document type (DOCTYPE), which Excel never does; it was not read.")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = listener.text
    parser.StartDoctypeDeclHandler = doctype
    gap = 0
    try:
        for piece in pieces:
            # The parser holds a tag until it ends.
            gap = 0 if b"<" in piece else gap + len(piece)
            if gap > MOST_MARKUP:
                raise UnusableSheet("The workbook has a cell of far more characters than a price needs.")
            parser.Parse(piece, False)
            yield
        parser.Parse(b"", True)
        yield
    except (expat.ExpatError, ValueError) as error:
        raise damaged() from error
