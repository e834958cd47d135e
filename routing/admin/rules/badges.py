"""What tells a rule's state, price and time at a glance."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from operators.admin.badges import REMEMBERED, badge
from routing.models import RateSheetLine, RoutingRule, RuleState
from routing.resolver import Candidate

# Borrowed from the operators' badges: a shape and a tone each.
TONES: Final = {
    RuleState.IN_FORCE: "ACTIVE",
    RuleState.FUTURE: "PENDING",
    RuleState.ENDED: "INACTIVE",
    RuleState.INACTIVE: "SUSPENDED",
}
ALWAYS: Final = SafeString('<span class="quiet">always</span>')


def state_badge(rule: RoutingRule, now: datetime) -> SafeString:
    state = rule.state_at(now)
    return badge(TONES[state], state.label.capitalize())


def window(rule: RoutingRule | RateSheetLine | Candidate) -> SafeString:
    """Tell from when until when a rule or a price counts; the exact times show on hover."""
    if rule.effective_from is None and rule.effective_to is None:
        return ALWAYS
    return _window(rule.effective_from, rule.effective_to)


@lru_cache(maxsize=REMEMBERED)
def _window(start: datetime | None, end: datetime | None) -> SafeString:
    words, exact = [], []
    for word, moment in (("from", start), ("until", end)):
        if moment is not None:
            words.append(f"{word} {_day(moment)}")
            exact.append(f"{word} {moment:%d %b %Y, %H:%M:%S}")
    return format_html('<span title="{} UTC">{}</span>', " ".join(exact), " ".join(words))


def _day(moment: datetime) -> str:
    """Name the day alone where it begins then, as it does in most rate sheets."""
    return f"{moment:%d %b %Y}" if (moment.hour, moment.minute) == (0, 0) else f"{moment:%d %b %Y, %H:%M}"


@lru_cache(maxsize=REMEMBERED)
def price(cost: Decimal, currency: str) -> SafeString:
    """Show a price with at least four decimals, which is what carriers quote, and more only where it has them."""
    text = f"{cost:.6f}"
    text = text.removesuffix("0").removesuffix("0")
    return format_html('<span class="number">{}</span> <span class="quiet">{}</span>', text, currency)


@lru_cache(maxsize=REMEMBERED)
def destination(prefix: str, mcc: str, mnc: str) -> SafeString:
    if not mcc:
        return format_html('<span class="mono">{}</span>', prefix)
    network = f"{mcc}/{mnc}" if mnc else mcc
    label = "MCC and MNC" if mnc else "MCC"
    return format_html('<span class="mono">{}</span> <span class="chip" title="{}">{}</span>', prefix, label, network)
