"""How many connections each worker of a gunicorn has."""

from __future__ import annotations

import time
from collections.abc import Callable
from subprocess import Popen

import psutil
from psutil import CONN_ESTABLISHED as ESTABLISHED

PATIENCE = 30.0


def connections_of(master: Popen[bytes], port: int) -> list[int]:
    """Count each worker's connections on the port, the fewest first, those without any left out."""
    workers = psutil.Process(master.pid).children()
    links = [worker.net_connections("tcp") for worker in workers]
    counts = [sum(link.laddr.port == port and link.status == ESTABLISHED for link in some) for some in links]
    return sorted(filter(None, counts))


def assert_two_share_evenly(keep: Callable[[], object], master: Popen[bytes], port: int) -> None:
    """Make connections by `keep`, which must hold them, until both workers are up, and then see where more go."""
    give_up_at = time.monotonic() + PATIENCE

    def counts() -> list[int]:
        keep()
        return connections_of(master, port)

    # The worker that is up first takes all there are, and the other one all that come until it has as many.
    while len(found := counts()) < 2 or found[0] < found[1]:
        assert time.monotonic() < give_up_at
        time.sleep(0.1)

    each = found[0]
    assert [counts() for _ in range(12)] == [[each + more // 2, each + (more + 1) // 2] for more in range(1, 13)]
