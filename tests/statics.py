"""One list of the static files for all clients of a run."""

from __future__ import annotations

from whitenoise.middleware import WhiteNoiseMiddleware


def share_static_files() -> None:
    """Have WhiteNoise look for the files once: each client makes the middleware anew, an eighth of the tests' time."""
    find = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, dict[str, object]] = {}

    def share(self: WhiteNoiseMiddleware) -> None:
        if self.static_prefix not in found:
            find(self)
            found[self.static_prefix] = self.files
        self.files = found[self.static_prefix]

    WhiteNoiseMiddleware.add_files_from_finders = share
