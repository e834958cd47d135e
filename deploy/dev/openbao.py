from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, TypedDict

import requests

from deploy.dev.ports import LOOPBACK, free_port
from deploy.dev.process import ServerError, venv_program
from deploy.dev.server import Server

ACTIVE, STANDBY, UNINITIALISED, SEALED = 200, 429, 501, 503


class Keys(TypedDict):
    unseal_key: str
    root_token: str


class OpenBao(Server):
    """Run OpenBao, which speaks Vault's API, on raft storage; initialise it once and unseal it at each start.

    The unseal key and the root token lie beside the data, which only development and tests may do.
    """

    name: ClassVar[str] = "OpenBao"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def root_token(self) -> str:
        return self._keys()["root_token"]

    def prepare(self) -> None:
        data = self.home / "data"
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        data.mkdir(mode=0o700, exist_ok=True)
        cluster = f"{LOOPBACK}:{free_port()}"
        config = {
            # The only node waits 5 to 10 s for others before it elects itself unless the multiplier is the lowest.
            "storage": {"raft": {"path": str(data), "node_id": "local", "performance_multiplier": 1}},
            "listener": {
                "tcp": {"address": f"{LOOPBACK}:{self.port}", "cluster_address": cluster, "tls_disable": True},
            },
            "api_addr": self.url,
            "cluster_addr": f"http://{cluster}",
            "ui": False,
            "log_level": "warn",
        }
        self._config_path.write_text(json.dumps(config, indent=2))

    def command(self) -> list[str]:
        return [venv_program("bao"), "server", f"-config={self._config_path}"]

    def is_ready(self) -> bool:
        return self._health() == ACTIVE

    def is_sealed(self) -> bool:
        return self._health() == SEALED

    def seal(self) -> None:
        """Seal it: from now on every request is answered with 503."""
        self._call("PUT", "sys/seal", token=self.root_token)

    def unseal(self) -> None:
        """Unseal it; it may take a moment more until `is_ready()`."""
        self._call("PUT", "sys/unseal", {"key": self._keys()["unseal_key"]})

    def unlock(self) -> bool:
        health = self._health()
        if health == UNINITIALISED:
            self._initialise()
        elif health == SEALED:
            self.unseal()
        return health in (ACTIVE, STANDBY)

    @property
    def _config_path(self) -> Path:
        return self.home / "config.json"

    @property
    def _keys_path(self) -> Path:
        return self.home / "keys.json"

    def _health(self) -> int:
        try:
            return requests.get(f"{self.url}/v1/sys/health", timeout=2).status_code
        except requests.RequestException:
            return 0

    def _initialise(self) -> None:
        answer = self._call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}).json()
        keys = Keys(unseal_key=answer["keys_base64"][0], root_token=answer["root_token"])
        self._keys_path.touch(mode=0o600)
        self._keys_path.write_text(json.dumps(keys))

    def _keys(self) -> Keys:
        try:
            keys: Keys = json.loads(self._keys_path.read_text())
        except (OSError, ValueError) as error:
            raise ServerError(
                f"OpenBao's data in {self.home} cannot be unsealed: {self._keys_path.name} is missing or damaged. "
                "Remove that directory to begin anew."
            ) from error
        return keys

    def _call(
        self, method: str, path: str, body: dict[str, str | int] | None = None, token: str = ""
    ) -> requests.Response:
        headers = {"X-Vault-Token": token} if token else {}
        answer = requests.request(method, f"{self.url}/v1/{path}", json=body, headers=headers, timeout=30)
        if not answer.ok:
            raise ServerError(f"OpenBao refused {path} with {answer.status_code}: {answer.text.strip()}")
        return answer
