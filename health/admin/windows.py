"""The pages on which staff open and end a maintenance or an override."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from health import actions
from health.admin.forms import DecisionForm, EndForm, OverrideForm, WindowForm
from health.models import HealthStatus, HealthWindow, WindowKind
from operators.admin.base import TypedAdmin, actor_of
from operators.admin.page import answer_with, find_operator, header_of
from operators.errors import OperatorError
from operators.models import Operator


@dataclass(frozen=True)
class Decision:
    """One button of the health page: its form, and the action behind it."""

    name: str
    kind: WindowKind
    label: str
    again: str
    title: str
    done: str
    permission: str
    explanation: tuple[str, ...]
    run: Callable[..., HealthWindow]
    form: type[DecisionForm]

    @property
    def is_end(self) -> bool:
        return self.form is EndForm

    def is_permitted(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"health.{self.permission}")


MAINTENANCE: Final = Decision(
    name="maintenance",
    kind=WindowKind.MAINTENANCE,
    label="Start maintenance",
    again="Change maintenance",
    title="Put {} into maintenance",
    done="{} is in maintenance until {:%d %b %Y, %H:%M} UTC.",
    permission="set_maintenance",
    explanation=(
        "Others see it as unhealthy at once: routing leaves it out, and nobody is paged.",
        "Reports go on being measured. When the time is over, others see what the reports say by then.",
        "This time does not count in the uptime.",
    ),
    run=actions.start_maintenance,
    form=WindowForm,
)
END_MAINTENANCE: Final = Decision(
    name="end_maintenance",
    kind=WindowKind.MAINTENANCE,
    label="End maintenance",
    again="End maintenance",
    title="End the maintenance of {}",
    done="The maintenance of {} is over.",
    permission="set_maintenance",
    explanation=("Others see at once what the reports say, or the override if there is one.",),
    run=actions.end_maintenance,
    form=EndForm,
)
OVERRIDE: Final = Decision(
    name="override",
    kind=WindowKind.OVERRIDE,
    label="Override state",
    again="Change override",
    title="Override the state of {}",
    done="The state of {} is overridden until {:%d %b %Y, %H:%M} UTC.",
    permission="override_health",
    explanation=(
        "Others see the state that you choose, whatever the reports say: messages sent into a dead bind are lost.",
        "A maintenance goes before it. Reports go on being measured, and the uptime follows the reports.",
    ),
    run=actions.override_health,
    form=OverrideForm,
)
END_OVERRIDE: Final = Decision(
    name="end_override",
    kind=WindowKind.OVERRIDE,
    label="End override",
    again="End override",
    title="End the override of {}",
    done="The override of {} is over.",
    permission="override_health",
    explanation=("Others see at once what the reports say, unless a maintenance goes on.",),
    run=actions.end_override,
    form=EndForm,
)

DECISIONS: Final = {each.name: each for each in (MAINTENANCE, END_MAINTENANCE, OVERRIDE, END_OVERRIDE)}


@dataclass(frozen=True)
class Button:
    label: str
    address: str


def buttons_of(request: HttpRequest, operator: Operator, open_windows: Sequence[HealthWindow]) -> list[Button]:
    """List what this person may decide now; nothing can be ended that is not open."""
    if operator.is_deleted:
        return []
    open_kinds = {window.kind for window in open_windows}
    return [
        Button(
            label=each.again if each.kind in open_kinds else each.label,
            address=reverse(f"admin:health_healthstatus_{each.name}", args=[operator.pk]),
        )
        for each in DECISIONS.values()
        if each.is_permitted(request) and (not each.is_end or each.kind in open_kinds)
    ]


def health_url(operator: Operator) -> str:
    return reverse("admin:health_healthstatus_change", args=[operator.pk])


class WindowPages(TypedAdmin[HealthStatus]):
    """Explain, ask for an end and a reason, call the action."""

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(self.window_view),
                {"name": name},
                name=f"health_healthstatus_{name}",
            )
            for name in DECISIONS
        ]
        return [*pages, *super().get_urls()]

    def window_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Explain a decision and ask for its details (GET), then make it (POST)."""
        decision = DECISIONS[name]
        if not self.has_view_permission(request) or not decision.is_permitted(request):
            raise PermissionDenied
        operator = find_operator(object_id)
        current = HealthWindow.objects.open().filter(operator=operator, kind=decision.kind).first()
        if request.method != "POST":
            if operator.is_deleted or (decision.is_end and current is None):
                self.message_user(request, f"{decision.label} is not possible now.", messages.WARNING)
                return HttpResponseRedirect(health_url(operator))
            return self._show_window(
                request,
                decision,
                operator,
                current,
                decision.form(initial={} if decision.is_end else _initial(current)),
            )
        form = decision.form(request.POST)
        if not form.is_valid():
            return self._show_window(request, decision, operator, current, form)
        values = form.values(timezone.now())
        try:
            window = decision.run(actor=actor_of(request), operator_id=operator.pk, **values)
        except OperatorError as refusal:
            form.add_refusal(refusal)
            return answer_with(self._show_window(request, decision, operator, current, form), refusal)
        self.message_user(request, decision.done.format(operator.name, window.ends_at), messages.SUCCESS)
        return HttpResponseRedirect(health_url(operator))

    def _show_window(
        self,
        request: HttpRequest,
        decision: Decision,
        operator: Operator,
        current: HealthWindow | None,
        form: DecisionForm,
    ) -> TemplateResponse:
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            **header_of(request, operator),
            "opts": self.opts,
            "media": self.media + form.media,
            "title": decision.title.format(operator.name),
            "original": operator,
            "decision": decision,
            "current": current,
            "form": form,
            "now": timezone.now(),
        }
        return TemplateResponse(request, "admin/health/window.html", context)


def _initial(current: HealthWindow | None) -> dict[str, Any]:
    """Begin with what is open, for most often only its end is to be moved."""
    if current is None:
        return {}
    return {"state": current.state, "until": current.ends_at, "length": "until", "reason": current.reason}
