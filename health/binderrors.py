"""What the commonest errors of a bind mean, for people who call the carrier about them (SMPP v3.4 §5.1.3)."""

from __future__ import annotations

from typing import Final

HINTS: Final = {
    "ESME_RINVCMDLEN": "The carrier could not read the bind's length: is TLS on at one end only?",
    "ESME_RINVCMDID": "The carrier does not know this kind of bind: try another bind type.",
    "ESME_RINVBNDSTS": "The carrier does not allow this in the bind's present state: the bind type may be wrong.",
    "ESME_RALYBND": "The carrier holds another bind with this system_id: an old one that has not timed out, or "
    "too many binds for the account.",
    "ESME_RSYSERR": "The carrier has an internal error. Nothing here mends it: call them if it lasts.",
    "ESME_RBINDFAIL": "The carrier refuses the bind without saying why: often an address that is not on their "
    "list, or an account that is blocked.",
    "ESME_RINVPASWD": "The carrier does not accept the password: ask whether it was changed, and rotate it here.",
    "ESME_RINVSYSID": "The carrier does not know the system_id: compare it with what they issued.",
    "ESME_RINVSYSTYP": "The carrier does not accept the system_type: many want it empty.",
    "ESME_RMSGQFUL": "The carrier's queue is full: it takes no more messages for now.",
    "ESME_RTHROTTLED": "We send faster than the carrier allows: compare the TPS limit with the contract.",
    "ESME_RX_T_APPN": "The carrier's application has a passing error: it should go away by itself.",
    "ESME_RX_P_APPN": "The carrier's application has a lasting error: call them.",
    "ESME_RX_R_APPN": "The carrier's application rejects the message: call them if it lasts.",
    "ESME_RUNKNOWNERR": "The carrier reports an error that it cannot name.",
}


def hint_for(name: str | None) -> str:
    """Explain an SMPP status name; empty for vendors' own names."""
    return HINTS.get((name or "").strip().upper(), "")
