from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def read(path: Path) -> dict[str, str]:
    """Read KEY=value lines; an absent file holds none."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def update(path: Path, values: Mapping[str, str]) -> None:
    """Set these keys and keep all others, readable by the owner alone; a reader sees the old file or the new one."""
    merged = {**read(path), **values}
    for key, value in merged.items():
        if "\n" in value:
            raise ValueError(f"{key} must be one line to be kept in {path}.")
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text("".join(f"{key}={value}\n" for key, value in merged.items()))
    fresh.replace(path)
