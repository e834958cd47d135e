"""Gunicorn's settings: `gunicorn config.wsgi -c config/gunicorn.py`. Its master never loads the application."""

from __future__ import annotations

import gc
import json
import logging.config
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gunicorn.http.wsgi
import gunicorn.util
from gunicorn.glogging import Logger

from config.env import bounded, env
from config.logs import dict_config

# Must stand before anything imports prometheus_client, which chooses its way of counting at import.
_OWN_METRICS_DIR = "OPS_METRICS_DIR_IS_OURS"
if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="ops-metrics-")
    os.environ[_OWN_METRICS_DIR] = "1"

bind = f"{env.str('HOST', default='0.0.0.0')}:{bounded('PORT', default=3020, low=1, high=65535)}"  # noqa: S104 - a pod listens on its address
metrics_port = bounded("METRICS_PORT", default=0, low=0, high=65535)

worker_class = "config.even_worker.EvenWorker"
workers = bounded("WEB_CONCURRENCY", default=2, low=1, high=64)
threads = bounded("WEB_THREADS", default=8, low=1, high=256)
timeout = 30
graceful_timeout = 20
keepalive = 30
# Heartbeat files on a disk would stop workers whenever the disk is slow.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes unnamed files there

limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

accesslog = None  # config.middleware writes one line per request, without the query


class logger_class(Logger):  # type: ignore[misc]  # noqa: N801 - gunicorn's name for the setting
    """Write gunicorn's own lines as the house does; with `logconfig_dict` it would turn its access log on."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logging.config.dictConfig(dict_config(str(env.str("LOG_LEVEL", default="INFO")).upper()))


proc_name = "ops-web"
control_socket_disable = True  # nobody uses it, and the root file system is read-only


class _Held(list[bytes]):
    """Stands in for a socket while an answer begins."""

    sendall = list.append


class _Response(gunicorn.http.wsgi.Response):  # type: ignore[misc]
    """Say nothing of the server, and let the head leave with the first of the body: one packet, and one TLS record."""

    sock: Any

    def default_headers(self) -> list[str]:
        return [header for header in super().default_headers() if not header.startswith("Server:")]

    def write(self, arg: bytes) -> None:
        if self.headers_sent:
            super().write(arg)
            return
        connection, self.sock = self.sock, _Held()
        try:
            super().write(arg)
            whole = b"".join(self.sock)
        finally:
            self.sock = connection
        connection.sendall(whole)


gunicorn.http.wsgi.Response = _Response


def _refusal(status: int, reason: str) -> tuple[str, str]:
    """Say it as a problem (RFC 9457) where only programs listen."""
    if os.environ.get("OPS_LISTENER") != "internal":
        return "text/plain; charset=utf-8", f"{reason}\n"
    code, detail = "INTERNAL_ERROR", "Something went wrong on our side."
    if status < 500:
        code, detail = "INVALID_PAYLOAD", "Send requests as HTTP/1.1 has them (RFC 9112)."
    kind = f"urn:ops:problem:{code.lower().replace('_', '-')}"
    problem = {"type": kind, "title": reason, "status": status, "detail": detail, "code": code}
    return "application/problem+json", json.dumps(problem)


def _write_error(sock: Any, status_int: int, reason: str, _message: str) -> None:
    """Answer what is no HTTP request with its status alone; gunicorn's own page quotes it, without our headers."""
    content_type, body = _refusal(status_int, reason)
    head = (
        f"HTTP/1.1 {status_int} {reason}",
        "Connection: close",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
    )
    gunicorn.util.write_nonblock(sock, "\r\n".join((*head, "", body)).encode("latin-1"))


gunicorn.util.write_error = _write_error


def on_starting(_server: Any) -> None:
    """Begin with an empty metrics directory: what an earlier run counted would be added to ours."""
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.glob("*.db"):
        left.unlink()


def when_ready(_server: Any) -> None:
    """Serve the workers' metrics on a port of their own, which stays up when all workers are busy."""
    if metrics_port:
        from prometheus_client import CollectorRegistry, start_http_server
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        start_http_server(metrics_port, addr=str(env.str("HOST", default="0.0.0.0")), registry=registry)  # noqa: S104


def post_worker_init(_worker: Any) -> None:
    """Take what was loaded at start out of the collector's sight: scanning all of Django made single requests slow."""
    gc.collect()
    gc.freeze()


def child_exit(_server: Any, worker: Any) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
    worker.leave()


def on_exit(_server: Any) -> None:
    if os.environ.get(_OWN_METRICS_DIR):
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
