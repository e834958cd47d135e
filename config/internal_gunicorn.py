"""Gunicorn's settings for the internal API: `gunicorn config.internal_wsgi -c config/internal_gunicorn.py`."""

from __future__ import annotations

import os
import ssl
from typing import Any

os.environ["OPS_LISTENER"] = "internal"  # the master's log lines name the process too

from config.env import bounded, env, flag, load_local_env
from config.gunicorn import *  # noqa: F403 - everything that is not said here is as on the console's listener
from config.tls import Contexts, Files, is_outdated

load_local_env()  # `make run` keeps the certificates' paths there

bind = f"{env.str('HOST', default='0.0.0.0')}:{bounded('INTERNAL_PORT', default=3021, low=1, high=65535)}"  # noqa: S104 - a pod listens on its address
proc_name = "ops-internal"
FORWARDED = "X-FORWARDED-CLIENT-CERT"

if flag("INTERNAL_TLS", default=True):
    certfile = str(env.str("INTERNAL_TLS_CERT", default=""))
    keyfile = str(env.str("INTERNAL_TLS_KEY", default=""))
    ca_certs = str(env.str("INTERNAL_TLS_CA", default=""))
    if not (certfile and keyfile and ca_certs):
        raise RuntimeError("Set INTERNAL_TLS_CERT, INTERNAL_TLS_KEY and INTERNAL_TLS_CA, or INTERNAL_TLS=false.")
    worker_class = "config.internal_worker.InternalWorker"
    _contexts = Contexts(Files(certfile, keyfile, ca_certs))
    _contexts.current()  # a process that could serve nobody does not start

    def ssl_context(_config: Any, _default: Any) -> ssl.SSLContext:
        return _contexts.current()

    def pre_request(_worker: Any, request: Any) -> None:
        """Let a connection of outdated certificates end with this request's answer."""
        if is_outdated(request.unreader.sock, _contexts.current()):
            request.force_close()

else:

    def pre_request(_worker: Any, request: Any) -> None:
        """Make a header that came twice into one that says nothing: WSGI would join the two with a comma."""
        values = [value for name, value in request.headers if name == FORWARDED]
        if len(values) > 1:
            request.headers = [(name, value) for name, value in request.headers if name != FORWARDED]
            request.headers.append((FORWARDED, "sent more than once"))
