"""The internal listener as a process of its own, with certificates of a test's choice."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import requests
from django.conf import settings

from config.devcerts import Authority, Pair
from deploy.dev.ports import free_port

HOST = "127.0.0.1"


@dataclass
class Mount:
    """A directory of certificates that is swapped as the kubelet does it: by one rename of a symbolic link."""

    home: Path
    states: int = 0

    def put(self, server: Pair, *authorities: Authority) -> None:
        self.states += 1
        state = self.home / f"state-{self.states}"
        state.mkdir()
        (state / "tls.crt").write_bytes(server.certificate_pem)
        (state / "tls.key").write_bytes(server.key_pem)
        (state / "ca.crt").write_bytes(b"".join(each.pair.certificate_pem for each in authorities))
        fresh = self.home / "fresh"
        fresh.symlink_to(state.name)
        fresh.replace(self.home / "data")

    def path(self, name: str) -> Path:
        return self.home / "data" / name


@dataclass
class Listener:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    metrics_url: str
    home: Path
    made: int = field(default=0)

    def lines(self, message: str = "") -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in found if not message or line["message"] == message]

    def counted(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", requests.get(self.metrics_url, timeout=5).text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def context(self, authority: Authority, pair: Pair | None) -> ssl.SSLContext:
        """A caller's side: whom it trusts, and what it presents."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority.pair.certificate_pem.decode())
        if pair:
            self.made += 1
            pair.save(self.home, f"client-{self.made}")
            context.load_cert_chain(self.home / f"client-{self.made}.crt", self.home / f"client-{self.made}.key")
        return context

    def connect(self, context: ssl.SSLContext) -> HTTPSConnection:
        return HTTPSConnection(HOST, self.port, context=context, timeout=30)


def environ_of(environ: dict[str, str], mount: Mount) -> dict[str, str]:
    return {
        **environ,
        "INTERNAL_TLS_CERT": str(mount.path("tls.crt")),
        "INTERNAL_TLS_KEY": str(mount.path("tls.key")),
        "INTERNAL_TLS_CA": str(mount.path("ca.crt")),
    }


def server_pair(authority: Authority) -> Pair:
    return authority.issue("localhost", hosts=["localhost"], addresses=[HOST], is_server=True)


@contextmanager
def running(
    environ: Mapping[str, str],
    home: Path,
    *,
    workers: int = 2,
    threads: int = 4,
    application: str = "config.internal_wsgi",
    **more: str,
) -> Iterator[Listener]:
    """Run it as production does; it is up when its port answers."""
    port, metrics_port = free_port(), free_port()
    log = home / "log"
    full = {
        **environ,
        "HOST": HOST,
        "INTERNAL_PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "WEB_CONCURRENCY": str(workers),
        "WEB_THREADS": str(threads),
        **more,
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", application, "-c", "config/internal_gunicorn.py"],
            cwd=settings.BASE_DIR,
            env=full,
            stdout=stream,
            stderr=stream,
        )
    made = Listener(process, port, log, f"http://{HOST}:{metrics_port}/metrics", home)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            # The master listens before its workers are up; what comes meanwhile waits in the queue.
            with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                break
            time.sleep(0.1)
        yield made
    finally:
        process.kill()
        process.wait()
