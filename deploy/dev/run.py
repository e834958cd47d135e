"""Run the whole service, or only its servers, on this machine; `make run` and `make stack` call it."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import IO, Never

import requests

from deploy.dev.ports import LOOPBACK, preferred_port
from deploy.dev.process import ServerError, spawn
from deploy.dev.processes import Processes, Service
from deploy.dev.stack import DEV_DIR, PROJECT, Stack, prepare_dir

WEB_PORT = 3020
INTERNAL_PORT = 3021
METRICS_PORT = 9464
ANSWER_SECONDS = 60.0
VAULT_TOKENS = ("VAULT_ADMIN_TOKEN", "VAULT_INTERNAL_TOKEN", "VAULT_RECONCILER_TOKEN", "VAULT_BOOTSTRAP_TOKEN")
VAULT_TOKEN_OF = {"web": "VAULT_ADMIN_TOKEN", "internal": "VAULT_INTERNAL_TOKEN"}
LOCK = DEV_DIR / "lock"
SAMPLE_REPORT = DEV_DIR / "sample-report.json"
SAMPLE_LOG = DEV_DIR / "sample-import.log"
SAMPLE_IMPORTED = DEV_DIR / "sample-imported"
IMPORT_SAMPLE = (
    "migrate_legacy_operators",
    "deploy/dev/sample/legacy_operators.csv",
    "--credentials",
    "deploy/dev/sample/lastpass_export.csv",
)


class RunError(RuntimeError):
    """End the run with this message and exit code."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.run", description=__doc__)
    parser.add_argument("--servers-only", action="store_true", help="start the servers and wait, without the service")
    servers_only: bool = parser.parse_args().servers_only
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        prepare_dir(DEV_DIR)
        with only_run(), Stack() as stack:
            say(f"Servers: {', '.join(f'{server.name} on port {server.port}' for server in stack.servers) or 'yours'}")
            if servers_only:
                wait_for_signal(stack)
            serve(stack)
    except KeyboardInterrupt:
        say("Stopped.")
        return 0
    except PermissionError as error:
        say(f"{error.filename} belongs to another user: run `make clean` as that user, or use a clone of your own.")
        return 1
    except RunError as error:
        say(str(error))
        return error.exit_code
    except ServerError as error:
        say(str(error))
        return 1


def wait_for_signal(stack: Stack) -> Never:
    LOCK.write_text("the servers only")
    say(f"Environment: {stack.env_path}. Stop with Ctrl-C.")
    while True:
        signal.pause()


def serve(stack: Stack) -> Never:
    """Bring the database up to date and run the processes until one ends or a signal comes."""
    environ = {**os.environ, **stack.environ(), "OPS_DOTENV": str(stack.env_path), "HOST": LOOPBACK}
    if code := run_manage(environ, "bootstrap"):
        raise RunError(f"manage.py bootstrap failed with exit code {code}.", code)
    if stack.postgres and stack.openbao:
        import_sample(environ)
    else:
        say(f"The sample inventory is not put into your servers; manage.py {' '.join(IMPORT_SAMPLE)} would do it.")
    port, internal_port = preferred_port(WEB_PORT), preferred_port(INTERNAL_PORT)
    url = f"http://{LOOPBACK}:{port}"
    processes = Processes(services(port, internal_port), environ=environ, cwd=PROJECT)
    try:
        processes.start()
        give_up_at = time.monotonic() + ANSWER_SECONDS
        welcomed = False
        while (ended := processes.ended()) is None:
            if not welcomed and answers(url):
                LOCK.write_text(url)
                say(welcome(url, internal_port))
                welcomed = True
            if not welcomed and time.monotonic() > give_up_at:
                raise RunError(f"The console did not answer at {url} within {ANSWER_SECONDS:.0f} s.")
            time.sleep(0.2)
        say(f"{ended.name} ended with exit code {ended.exit_code}: its last lines are above. Stopping the others.")
        raise RunError("Stopped.", ended.exit_code or 1)
    finally:
        processes.stop()


def services(port: int, internal_port: int) -> list[Service]:
    """List the processes of the service; each shows its metrics on a port of its own."""
    python = sys.executable
    gunicorn = [python, "-m", "gunicorn"]
    commands = {
        "web": [*gunicorn, "config.wsgi", "-c", "config/gunicorn.py", "--bind", f"{LOOPBACK}:{port}"],
        "internal": [
            *(*gunicorn, "config.internal_wsgi", "-c", "config/internal_gunicorn.py"),
            *("--bind", f"{LOOPBACK}:{internal_port}"),
        ],
        "drain": [python, "manage.py", "drain_outbox"],
        "ingest": [python, "manage.py", "ingest_health"],
    }
    found: list[Service] = []
    metrics_port = METRICS_PORT
    for name, command in commands.items():
        metrics_port = preferred_port(metrics_port)
        environ = {"PORT": str(port), "METRICS_PORT": str(metrics_port), "PYTHONUNBUFFERED": "1"}
        found.append(Service(name, command, environ | withheld(name)))
        metrics_port += 1
    return found


def withheld(name: str) -> dict[str, str]:
    """Empty the Vault tokens that are not this process's; what is set, if to nothing, beats the environment file."""
    return {variable: "" for variable in VAULT_TOKENS if variable != VAULT_TOKEN_OF.get(name)}


def import_sample(environ: Mapping[str, str]) -> None:
    """Import the sample inventory once; a later run goes on where an interrupted one stopped."""
    if SAMPLE_IMPORTED.exists():
        return
    say("First use: importing the sample inventory. Some of its rows are wrong on purpose.")
    SAMPLE_REPORT.unlink(missing_ok=True)
    with SAMPLE_LOG.open("wb") as log:
        code = run_manage(environ, *IMPORT_SAMPLE, "--report", str(SAMPLE_REPORT), output=log)
    # Failed rows are exit code 1, as any crash is; but only an import that came to its end has reported.
    if code not in (0, 1) or not SAMPLE_REPORT.exists():
        raise RunError(f"The sample inventory could not be imported (exit code {code}): {SAMPLE_LOG}", code or 1)
    tally = json.loads(SAMPLE_REPORT.read_text())["tally"]
    say(f"{', '.join(f'{count} {outcome}' for outcome, count in tally.items())}; row by row: {SAMPLE_LOG}")
    SAMPLE_IMPORTED.touch()


def run_manage(environ: Mapping[str, str], *arguments: str, output: IO[bytes] | None = None) -> int:
    """Run a management command to its end and return its exit code."""
    command = [sys.executable, "manage.py", *arguments]
    where = output or sys.stdout.fileno()
    process = spawn(command, output=where, death_signal="TERM", environ=environ, cwd=PROJECT)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/live", timeout=2).ok
    except requests.RequestException:
        return False


def welcome(url: str, internal_port: int) -> str:
    own = (DEV_DIR / "certificates").relative_to(PROJECT)
    return f"""
  Console    {url}/admin/
  API docs   {url}/v1/docs
  Login      printed above by the first run; `.venv/bin/python manage.py createsuperuser` makes another
  API token  .venv/bin/python manage.py issue_dev_token
  Internal   curl --cacert {own}/ca.crt --cert {own}/routing-engine.crt --key {own}/routing-engine.key \\
               'https://localhost:{internal_port}/v1/internal/routes/resolve?to=%2B447911123456'
  Reports    .venv/bin/python manage.py replay_health deploy/dev/sample/health_reports.ndjson
  Stop       Ctrl-C
"""


@contextlib.contextmanager
def only_run() -> Iterator[None]:
    """Hold the clone's lock; raises RunError when another run has it."""
    with LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = LOCK.read_text() or "it is still starting"
            raise RunError(f"Already running in this clone ({what}). Stop it with Ctrl-C where it runs.") from None
        LOCK.write_text("")
        yield


def say(text: str) -> None:
    print(text, flush=True)


def _interrupt(*_: object) -> Never:
    # A second signal must not cut the orderly end short: that end is bounded, and half of it leaves servers running.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
