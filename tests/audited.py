"""An OpenBao that writes its own audit log, or tries to: into a file, or into a pipe that nobody may be reading."""

from __future__ import annotations

from pathlib import Path

from deploy.dev.openbao import OpenBao


class AuditedOpenBao(OpenBao):
    def __init__(self, home: Path, audit: Path) -> None:
        super().__init__(home)
        self.audit = audit

    def prepare(self) -> None:
        super().prepare()
        options = f'options {{ file_path = "{self.audit}" }}'
        self._audit_path.write_text(f'audit "file" "ours" {{ {options} }}\n')

    def command(self) -> list[str]:
        return [*super().command(), f"-config={self._audit_path}"]

    @property
    def _audit_path(self) -> Path:
        return self.home / "audit.hcl"
