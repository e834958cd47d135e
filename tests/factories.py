"""The tests' small cast, made through the actions that everybody uses."""

from __future__ import annotations

from typing import Final, Unpack

import factory

from operators.actions import OperatorValues, create_operator
from operators.actors import Actor, Source
from operators.models import Operator
from operators.secrets import Secret

PASSWORD: Final = "s3cr3t-8"
ALICE: Final = Actor("alice", Source.CONSOLE)


class ValuesFactory(factory.DictFactory):
    """Make the values of a plausible operator; every call gives another bind."""

    name = factory.Sequence(lambda number: f"Carrier {number}")
    host = factory.Sequence(lambda number: f"smpp{number}.carrier.example")
    port = 2775
    system_id = factory.Sequence(lambda number: f"account{number}")
    max_tps = 100


def values(**overrides: Unpack[OperatorValues]) -> OperatorValues:
    made: OperatorValues = ValuesFactory(**overrides)
    return made


def make_operator(*, actor: Actor = ALICE, password: str = PASSWORD, **overrides: Unpack[OperatorValues]) -> Operator:
    """Create an operator with a real write to Vault."""
    return create_operator(actor=actor, values=values(**overrides), password=Secret(password))
