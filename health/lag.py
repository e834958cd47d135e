"""How far ingest is behind the stream, as Prometheus sees it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Lag(Collector):
    """Know up to which moment everything that the broker took is in the database.

    The lag grows by itself while ingest cannot work. A process that does not lead shows none.
    """

    def __init__(self) -> None:
        self.caught_up_at: datetime | None = None

    def advance(self, moment: datetime) -> None:
        self.caught_up_at = moment if self.caught_up_at is None else max(self.caught_up_at, moment)

    def clear(self) -> None:
        """Show nothing more: another process leads."""
        self.caught_up_at = None

    def describe(self) -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily(
                "ops_health_ingest_lag_seconds", "How far the active ingest is behind the stream of reports."
            )
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        [family] = self.describe()
        if self.caught_up_at is not None:
            family.add_metric([], max((datetime.now(UTC) - self.caught_up_at).total_seconds(), 0.0))
        yield family

    def register(self) -> None:
        REGISTRY.register(self)
