"""What Vault's refusals mean, in words that are safe to show; a request that broke off means something too."""

from __future__ import annotations

from typing import Any, Final

import requests

from operators.errors import VaultUnavailable
from operators.kv import CasMismatch, OutcomeUnknown, SecretMissing
from operators.transport import BreakerOpen, surely_not_sent

UNREACHABLE: Final = "The credential store cannot be reached; nothing was changed."
SEALED: Final = "The credential store is sealed; nothing was changed."
NOT_SET_UP: Final = "The credential store is not initialised; nothing was changed."
NO_LEADER: Final = "The credential store has no leader at the moment; nothing was changed."
BEHIND: Final = "The credential store has not caught up with itself yet; nothing was changed."
BUSY: Final = "The credential store asks to be called less often; nothing was changed."
FORBIDDEN: Final = "The credential store does not accept this service's login; nothing was changed."
DENIED: Final = "The credential store does not accept this service's login for this: its policy forbids it."
REFUSED: Final = "The credential store refused the request; nothing was changed."
NOT_MOUNTED: Final = "The credential store has no secrets engine at the configured mount; nothing was changed."
BROKEN: Final = "The credential store answered with an error."
ANSWER_LOST: Final = "The answer of the credential store was lost."

# sys/health has them for nodes that do not lead: disaster recovery, performance standby, no leader, removed.
NOT_LEADING: Final = frozenset({472, 473, 474, 530})
LONGEST_WAIT: Final = 60  # seconds


class Refused(Exception):
    """An answer of status 400 or above; its own text is for telling cases apart and is shown to nobody."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(response.status_code)
        self.status = response.status_code
        self.is_denied = False  # said by whoever has asked Vault whether it knows the token
        try:
            body: Any = response.json()
        except ValueError:
            body = None
        # What stands in front of Vault answers in other words.
        self.is_vaults_own = isinstance(body, dict)
        errors = body.get("errors") if isinstance(body, dict) else None
        self.text = " ".join(map(str, errors)) if isinstance(errors, list) else ""
        wait = response.headers.get("Retry-After", "")
        self.retry_after = min(int(wait), LONGEST_WAIT) if wait.isdecimal() and len(wait) < 9 else None


class VaultBusy(VaultUnavailable):
    """A quota of Vault's: it names the time after which another try makes sense."""

    def __init__(self, retry_after: int | None) -> None:
        super().__init__(BUSY)
        self.retry_after = retry_after or VaultUnavailable.retry_after


def refuse(response: requests.Response, *_: Any, **__: Any) -> None:
    """Serve as the session's response hook."""
    if response.status_code >= 400:
        raise Refused(response)


def meaning(error: Exception, *, may_be_done: bool) -> tuple[Exception, bool]:
    """Say in our words what went wrong, and whether Vault is so ill that it is better left alone for a while."""
    match error:
        case BreakerOpen():
            return VaultUnavailable(UNREACHABLE), False
        case VaultUnavailable() | SecretMissing():
            return error.with_traceback(None), False
        case Refused():
            return _of_answer(error, may_be_done=may_be_done)
        case requests.RequestException() if not surely_not_sent(error) and may_be_done:
            return OutcomeUnknown(ANSWER_LOST), True
        case requests.RequestException():
            return VaultUnavailable(UNREACHABLE), True
    return OutcomeUnknown(ANSWER_LOST) if may_be_done else VaultUnavailable(BROKEN), True


def _of_answer(refused: Refused, *, may_be_done: bool) -> tuple[Exception, bool]:
    match refused.status:
        case 404 if refused.is_vaults_own and not refused.text:
            return SecretMissing("The credential store has no such secret or version."), False
        case 404:
            return VaultUnavailable(NOT_MOUNTED), False
        case 400 if "did not match the current version" in refused.text:
            return CasMismatch("The secret was changed by somebody else."), False
        case 400 | 405:
            return VaultUnavailable(REFUSED), False
        case 401 | 403:
            return VaultUnavailable(DENIED if refused.is_denied else FORBIDDEN), False
        case 412:
            return VaultUnavailable(BEHIND), False
        case 429:
            return VaultBusy(refused.retry_after), False
        case 501:
            return VaultUnavailable(NOT_SET_UP), True
        case 503 if "sealed" in refused.text:
            return VaultUnavailable(SEALED), True
        case status if status in NOT_LEADING or "local node not active" in refused.text:
            return VaultUnavailable(NO_LEADER), True
    # A proxy answers 502 to 504 for a request that Vault has done; Vault says 500 when it lost its leadership.
    return OutcomeUnknown(ANSWER_LOST) if may_be_done else VaultUnavailable(BROKEN), True
