"""Every way to change a routing rule by hand. Console, REST and commands call these; rate sheets have their own.

Each action validates, and then does its one short transaction: lock the operator, write the rule, raise the operator's
version with audit entry, event and signal. All raise what operators.errors and routing.errors describe.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import copy
from datetime import datetime
from decimal import Decimal
from typing import Final, TypedDict
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from operators.acting import acting
from operators.actors import Actor
from operators.changes import commit_change, lock_operator, refuse_stale
from operators.errors import FieldProblem, InvalidPayload, OperatorError
from operators.models import AuditAction, Operator
from operators.wire import JSONValue
from routing import guards, metrics
from routing.errors import RoutingRuleConflict, RuleNotFound
from routing.models import RoutingRule
from routing.wire import RULE_NAMES

logger = logging.getLogger(__name__)

WIRE_NAME: Final = "routingRules"


class RuleValues(TypedDict, total=False):
    """What callers may set, by the model's names."""

    prefix: str
    mcc: str
    mnc: str
    priority: int
    weight: int
    cost_per_segment: Decimal
    currency: str
    effective_from: datetime | None
    effective_to: datetime | None
    active: bool


# What decides whether a rule meets others. Where none of it changes, an overlap is one that was allowed before.
MEETING: Final = frozenset({"prefix", "mcc", "mnc", "priority", "effective_from", "effective_to", "active"})


def create_rule(
    *,
    actor: Actor,
    operator_id: UUID,
    values: RuleValues,
    allow_overlap: bool = False,
    rule_id: UUID | None = None,
    reason: str = "",
) -> RoutingRule:
    """Give an operator one more rule; `allow_overlap` lets its prefix contain or lie inside others."""
    now = timezone.now()
    rule = _new_rule(actor, operator_id, values, now)
    if rule_id is not None:
        rule.pk = rule_id
    try:
        with _action(actor, AuditAction.ADD_RULE, operator_id), transaction.atomic(durable=True):
            operator = lock_operator(operator_id)
            _check(rule, allow_overlap=allow_overlap)
            if rule.active and rule.effective_to is not None and rule.effective_to <= now:
                raise InvalidPayload([FieldProblem("effectiveTo", "This moment has passed: the rule could never win.")])
            _save(rule, is_new=True)
            _commit(operator, actor, AuditAction.ADD_RULE, (None, rule.in_words()), reason)
    except OperatorError as error:
        metrics.rule_create.labels("conflict" if isinstance(error, RoutingRuleConflict) else "error").inc()
        raise
    metrics.rule_create.labels("ok").inc()
    return rule


def create_rules(
    *, actor: Actor, operator_id: UUID, values: Sequence[RuleValues], reason: str = ""
) -> tuple[RoutingRule, ...]:
    """Give an operator several rules at once, or none of them: one version and one event; nested prefixes are meant."""
    if not values:
        return ()
    now = timezone.now()
    rules = tuple(_new_rule(actor, operator_id, each, now) for each in values)
    with _action(actor, AuditAction.ADD_RULE, operator_id), transaction.atomic(durable=True):
        operator = lock_operator(operator_id)
        for rule in rules:
            _check(rule, allow_overlap=True)
            _save(rule, is_new=True)
        _commit(operator, actor, AuditAction.ADD_RULE, (None, [rule.in_words() for rule in rules]), reason)
    metrics.rule_create.labels("ok").inc(len(rules))
    return rules


def update_rule(
    *,
    actor: Actor,
    rule_id: UUID,
    changes: RuleValues,
    allow_overlap: bool = False,
    expected_version: int | None = None,
    reason: str = "",
) -> RoutingRule:
    """Change a rule; without any difference nothing is written.

    An overlap needs `allow_overlap` only where the change touches what overlaps; a new price does not.
    """
    operator_id = find_rule(rule_id).operator_id
    with _action(actor, AuditAction.CHANGE_RULE, operator_id), transaction.atomic(durable=True):
        operator, rule = _lock(operator_id, rule_id, expected_version)
        before = copy(rule)
        for name, value in changes.items():
            setattr(rule, name, value)
        changed = {name for name in changes if getattr(rule, name) != getattr(before, name)}
        _check(rule, allow_overlap=allow_overlap or changed.isdisjoint(MEETING))
        if not changed:
            return rule
        rule.version += 1
        rule.updated_by, rule.updated_at = actor.name, timezone.now()
        _save(rule)
        _commit(operator, actor, AuditAction.CHANGE_RULE, (before.in_words(), rule.in_words()), reason)
    return rule


def delete_rule(*, actor: Actor, rule_id: UUID, expected_version: int | None = None, reason: str = "") -> RoutingRule:
    """Remove a rule that should not have been; one that has done its work is ended by `effective_to` instead.

    The audit trail keeps what it said.
    """
    operator_id = find_rule(rule_id).operator_id
    with _action(actor, AuditAction.DELETE_RULE, operator_id), transaction.atomic(durable=True):
        operator, rule = _lock(operator_id, rule_id, expected_version)
        RoutingRule.objects.filter(pk=rule_id).delete()
        _commit(operator, actor, AuditAction.DELETE_RULE, (rule.in_words(), None), reason)
    return rule


def find_rule(rule_id: UUID) -> RoutingRule:
    """Read one rule of an operator that is not deleted; raises RuleNotFound."""
    rule = RoutingRule.objects.select_related("operator").filter(pk=rule_id, operator__deleted_at=None).first()
    if rule is None:
        raise RuleNotFound
    return rule


def _new_rule(actor: Actor, operator_id: UUID, values: RuleValues, now: datetime) -> RoutingRule:
    return RoutingRule(
        operator_id=operator_id,
        created_by=actor.name,
        updated_by=actor.name,
        created_at=now,
        updated_at=now,
        **values,
    )


def _lock(operator_id: UUID, rule_id: UUID, expected_version: int | None) -> tuple[Operator, RoutingRule]:
    """Lock the operator, and with it all its rules: whoever writes one does this first."""
    operator = lock_operator(operator_id)
    rule = RoutingRule.objects.filter(pk=rule_id).first()
    if rule is None:
        raise RuleNotFound
    refuse_stale(rule, expected_version, what="rule")
    return operator, rule


def _check(rule: RoutingRule, *, allow_overlap: bool) -> None:
    """Check every rule of single values, then what stands against it; raises InvalidPayload, RoutingRuleConflict."""
    problems = dict(_broken(lambda: rule.clean_fields(exclude={"operator", "created_by", "updated_by"})))
    problems = dict(_broken(rule.clean)) | problems
    if problems:
        raise InvalidPayload(FieldProblem(RULE_NAMES[name], message) for name, message in problems.items())
    if strangers := guards.country_problems(rule):
        raise InvalidPayload(strangers)
    if findings := guards.find_conflicts(rule, allow_overlap=allow_overlap):
        raise RoutingRuleConflict(findings)


def _broken(clean: Callable[[], None]) -> Iterator[tuple[str, str]]:
    try:
        clean()
    except ValidationError as error:
        yield from ((name, messages[0]) for name, messages in error.message_dict.items())


def _save(rule: RoutingRule, *, is_new: bool = False) -> None:
    """Write the row; the constraint has the last word where a writer passed the operator's lock by."""
    try:
        with transaction.atomic():
            rule.save(force_insert=is_new)
    except IntegrityError:
        if findings := guards.find_conflicts(rule, allow_overlap=True):
            raise RoutingRuleConflict(findings) from None
        raise


def _commit(
    operator: Operator, actor: Actor, action: AuditAction, change: tuple[JSONValue, JSONValue], reason: str
) -> None:
    commit_change(operator, actor, action, {WIRE_NAME: change}, reason)


def _action(actor: Actor, action: AuditAction, operator_id: UUID) -> AbstractContextManager[None]:
    """Wrap an action in its span and its log line."""
    return acting(
        "ops.routing.changeRules",
        logger=logger,
        actor=actor,
        action=action,
        done=f"{action.label.lower()} done",
        operator_id=operator_id,
    )
