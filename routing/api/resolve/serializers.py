"""What the API says of who carries a number."""

# ruff: noqa: N815 - the attributes are the wire names

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from operators.api.fields import MomentField
from operators.models import HealthState, Status
from operators.wire import rfc3339, wire_value
from routing.explanation import REASONS, Explained, Verdict
from routing.resolver import Answer, Candidate, Outcome, Strategy


class CandidateSerializer(serializers.Serializer[Any]):
    """A rule that carries the number; these classes describe what `answer_body` and `explained_body` write."""

    ruleId = serializers.UUIDField()
    operatorId = serializers.UUIDField()
    operatorName = serializers.CharField()
    prefix = serializers.CharField()
    mcc = serializers.CharField(allow_null=True)
    mnc = serializers.CharField(allow_null=True)
    priority = serializers.IntegerField()
    weight = serializers.IntegerField()
    costPerSegment = serializers.FloatField()
    currency = serializers.CharField()
    healthState = serializers.ChoiceField(choices=HealthState.values)


class RankedSerializer(CandidateSerializer):
    """A rule to try, the first at position 1."""

    position = serializers.IntegerField()


class ExplainedSerializer(CandidateSerializer):
    """What became of a rule whose prefix the number begins with."""

    status = serializers.ChoiceField(choices=Status.values, help_text="The operator's.")
    active = serializers.BooleanField()
    effectiveFrom = MomentField(allow_null=True)
    effectiveTo = MomentField(allow_null=True)
    verdict = serializers.ChoiceField(choices=[each.value for each in Verdict])
    reason = serializers.ChoiceField(choices=[each.value for each in REASONS])
    sentence = serializers.CharField(help_text="The reason in words.")
    position = serializers.IntegerField(allow_null=True)


class AnswerSerializer(serializers.Serializer[Any]):
    """Who carries a number, in the order in which to try."""

    to = serializers.CharField()
    outcome = serializers.ChoiceField(choices=[each.value for each in Outcome])
    strategy = serializers.ChoiceField(choices=[each.value for each in Strategy])
    asOf = MomentField()
    currency = serializers.CharField(allow_null=True, help_text="In which prices were compared; null unless COST.")
    selected = RankedSerializer(allow_null=True)
    candidates = RankedSerializer(many=True)


class ExplainedAnswerSerializer(AnswerSerializer):
    explanation = ExplainedSerializer(many=True, required=False, help_text="Only where it was asked for.")


class AnswersSerializer(serializers.Serializer[Any]):
    answers = AnswerSerializer(many=True, help_text="In the order of the numbers.")


def answer_body(answer: Answer, *, limit: int) -> dict[str, Any]:
    """Write an answer; by hand, for a serializer takes longer than the resolution of a thousand numbers."""
    ranked = [
        {**candidate_body(candidate), "position": position}
        for position, candidate in enumerate(answer.ranked[:limit], 1)
    ]
    question = answer.question
    return {
        "to": question.number,
        "outcome": answer.outcome.value,
        "strategy": question.strategy.value,
        "asOf": rfc3339(question.as_of),
        "currency": answer.currency or None,
        "selected": ranked[0] if ranked else None,
        "candidates": ranked,
    }


def candidate_body(candidate: Candidate) -> dict[str, Any]:
    return {
        "ruleId": str(candidate.rule_id),
        "operatorId": str(candidate.operator_id),
        "operatorName": candidate.operator_name,
        "prefix": candidate.prefix,
        "mcc": candidate.mcc or None,
        "mnc": candidate.mnc or None,
        "priority": candidate.priority,
        "weight": candidate.weight,
        "costPerSegment": float(candidate.cost),
        "currency": candidate.currency,
        "healthState": candidate.health,
    }


def explained_body(explained: Explained) -> dict[str, Any]:
    candidate = explained.candidate
    return {
        **candidate_body(candidate),
        "status": candidate.status,
        "active": candidate.active,
        "effectiveFrom": wire_value(candidate.effective_from),
        "effectiveTo": wire_value(candidate.effective_to),
        "verdict": explained.verdict.value,
        "reason": explained.reason.value,
        "sentence": explained.sentence,
        "position": explained.position,
    }
