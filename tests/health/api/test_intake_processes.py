"""The connectors' door on the real listener: several processes, many threads, and an end without delay."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from config.devcerts import Authority
from tests.config.listener import Mount, environ_of, running, server_pair
from tests.factories import make_operator
from tests.health.api.cast import INTAKE, report
from tests.servers import CONNECTOR
from tests.streams import purge_stream, read_stream


def test_it_takes_reports_in_every_process_and_stops_at_once(process_env: dict[str, str], tmp_path: Path) -> None:
    authority = Authority.create("Tests CA")
    mount = Mount(tmp_path)
    mount.put(server_pair(authority), authority)
    purge_stream("SMPP_HEALTH")
    operator = make_operator()
    batches = [[report(operator) for _ in range(10)] for _ in range(40)]
    with running(environ_of(process_env, mount), tmp_path) as listener:
        context = listener.context(authority, authority.issue("connector", uris=[CONNECTOR]))

        def send(batch: list[dict[str, object]]) -> int:
            connection = listener.connect(context)
            connection.request("POST", INTAKE, json.dumps(batch), {"Content-Type": "application/json"})
            status = connection.getresponse().status
            connection.close()
            return status

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(send, batches)) == [202] * 40
        sent = {each["eventId"] for batch in batches for each in batch}
        assert {message.body["eventId"] for message in read_stream("SMPP_HEALTH")} == sent

        began = time.monotonic()
        listener.process.send_signal(signal.SIGTERM)
        assert listener.process.wait(10) == 0
        assert time.monotonic() - began < 8
