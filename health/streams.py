"""What health needs on the broker: the reports' stream, its consumer, and the live view for everybody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from nats.js.api import DiscardPolicy

from operators.jetstream import GIBIBYTE, Bucket, Item, PullConsumer, Stream

SMPP_HEALTH: Final = Stream(
    name="SMPP_HEALTH",
    # The dead letters, smpp.health.dead, lie in the same stream.
    subjects=("smpp.health.>",),
    description="Reports of the smpp-connectors, and those that could not be taken in",
    max_age=timedelta(hours=24),
    max_bytes=2 * GIBIBYTE,
    # A connector repeats a report within seconds or never; at 500/s a longer window would hold millions of ids.
    duplicate_window=timedelta(minutes=2),
    # The newest report matters most, and a connector has nowhere to keep one that the broker refuses.
    discard=DiscardPolicy.OLD,
)
DEAD_SUBJECT: Final = "smpp.health.dead"
DEAD_LETTERS: Final = Stream(
    name="SMPP_HEALTH_DEAD",
    subjects=(),
    description="Copies of the dead letters, for longer than a flood of reports would leave them",
    max_age=timedelta(days=30),
    max_bytes=GIBIBYTE // 4,
    duplicate_window=timedelta(minutes=2),
    discard=DiscardPolicy.OLD,
    source=(SMPP_HEALTH.name, DEAD_SUBJECT),
)
INGEST_CONSUMER: Final = PullConsumer(
    stream=SMPP_HEALTH.name,
    name="ops-health-consumer",
    description="Takes the reports into ops.operator_health_log",
    # Longer than the slowest commit of a batch.
    ack_wait=timedelta(seconds=30),
    max_ack_pending=5000,
)
LIVE_VIEW: Final = Bucket(
    name="ops_health",
    description="The effective health state by operatorId; a missing key means UNKNOWN",
    ttl=timedelta(seconds=60),
)
TOPOLOGY: Final[tuple[Item, ...]] = (SMPP_HEALTH, DEAD_LETTERS, INGEST_CONSUMER, LIVE_VIEW)
