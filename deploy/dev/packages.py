from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.dev.process import ServerError

OLDEST_MAJOR = 14
EXTENSION = "pg_partman.control"
BIN_PATTERNS = (
    "usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "usr/pgsql-*/bin",  # Fedora and its relatives
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "usr/local/pgsql/bin",
)


def find_postgres(major: int | None = None) -> Path:
    """Find the program directory of the newest PostgreSQL that has pg_partman; raises ServerError without one."""
    found = {version: place for place in _program_dirs() if (version := _major(place)) and _has_partman(place, version)}
    if major is not None and major not in found:
        raise ServerError(f"This data was made by PostgreSQL {major}, which is not installed with pg_partman.")
    if not found:
        raise ServerError(missing_sentence())
    return found[major or max(found)]


def install_postgres() -> None:
    """Install PostgreSQL and pg_partman from Debian's packages unless they are there.

    It takes about half a minute and needs root; raises ServerError, with what to install, where it cannot.
    """
    try:
        find_postgres()
    except ServerError:
        pass
    else:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerError(missing_sentence())
    package = _partman_package()
    if package is None:
        _apt("update")
        package = _partman_package()
    if package is None:
        raise ServerError(missing_sentence())
    server = package.removesuffix("-partman")
    print(f"Installing {server} and {package} ...", flush=True)
    _apt("install", "-y", "--no-install-recommends", server, package)
    find_postgres()


def missing_sentence() -> str:
    return (
        f"PostgreSQL {OLDEST_MAJOR} or newer with pg_partman is missing: install it "
        "(on Debian or Ubuntu as root: apt-get install postgresql postgresql-15-partman, with your version's number), "
        "or set DATABASE_URL to a server that has it."
    )


def _program_dirs() -> list[Path]:
    places = [place for pattern in BIN_PATTERNS for place in sorted(Path("/").glob(pattern))]
    if pg_config := shutil.which("pg_config"):
        places.append(Path(_output([pg_config, "--bindir"])))
    # A bare `postgres` or `initdb` on PATH may be somebody's wrapper: only whole directories count.
    return [place for place in places if (place / "postgres").exists() and (place / "initdb").exists()]


def _major(place: Path) -> int | None:
    version = re.search(r"\(PostgreSQL\) (\d+)", _output([str(place / "postgres"), "--version"]))
    return int(version[1]) if version and int(version[1]) >= OLDEST_MAJOR else None


def _has_partman(place: Path, major: int) -> bool:
    shares = [Path(f"/usr/share/postgresql/{major}"), place.parent / "share", place.parent / "share/postgresql"]
    if (pg_config := place / "pg_config").exists():
        shares.append(Path(_output([str(pg_config), "--sharedir"])))
    return any((share / "extension" / EXTENSION).exists() for share in shares)


def _partman_package() -> str | None:
    """Name the partman package for the installed server, otherwise for the newest one on offer."""
    offered = _output(["apt-cache", "pkgnames", "postgresql-"]).split()
    majors = {int(match[1]) for name in offered if (match := re.fullmatch(r"postgresql-(\d+)-partman", name))}
    usable = {major for major in majors if major >= OLDEST_MAJOR and f"postgresql-{major}" in offered}
    present = usable & {_major(place) for place in _program_dirs()}
    return f"postgresql-{max(present or usable)}-partman" if usable else None


def _apt(*arguments: str) -> None:
    # stderr, so that what the caller prints itself stays readable; another apt run at the same time is waited for.
    done = subprocess.run(
        ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-10:])
        raise ServerError(f"apt-get {arguments[0]} failed:\n{tail}\n{missing_sentence()}")


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


if __name__ == "__main__":
    try:
        install_postgres()
    except ServerError as error:
        sys.exit(str(error))
