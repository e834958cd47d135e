"""The page that takes a file in."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from operators.admin.base import OperatorSelect, TypedAdmin, actor_of
from operators.errors import OperatorError
from operators.models import Operator
from routing.admin.ratesheets.forms import TOO_LARGE, UploadForm
from routing.admin.ratesheets.intake import SheetIntake
from routing.admin.ratesheets.page import sheet_url
from routing.admin.rules.filters import chosen_operator
from routing.admin.rules.page import about_operator
from routing.imports.preview import preview_sheet
from routing.imports.uploading import upload_sheet
from routing.models import RateSheet
from routing.ratesheets.limits import MOST_BYTES

TOO_LARGE_STATUS = 413


class UploadPage(TypedAdmin[RateSheet]):
    """Take a file and lead to its preview.

    A browser with scripts asks for JSON, so that it can show how far the upload is and then how far the preview;
    without them one request does both.
    """

    # The check of the token reads the whole body. It comes only after our way of reading it is in place.
    @method_decorator(csrf_exempt)
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        intake = SheetIntake(request)
        request.upload_handlers = [intake]
        return self._upload(request, intake)

    @method_decorator(csrf_protect)
    def _upload(self, request: HttpRequest, intake: SheetIntake) -> HttpResponse:
        if request.method != "POST":
            return self._show_upload(request, self._form(initial={"operator": chosen_operator(request)}))
        form = self._form(request.POST, request.FILES)
        if intake.is_too_large:
            form.refuse_size()
            return self._refuse_upload(request, form, TOO_LARGE_STATUS)
        if not form.is_valid():
            return self._refuse_upload(request, form, 200)
        file = form.cleaned_data["file"]
        try:
            sheet = upload_sheet(
                actor=actor_of(request),
                operator_id=form.cleaned_data["operator"].pk,
                filename=file.name,
                content=file.read(),
                options=form.options(),
            )
        except OperatorError as refusal:
            form.refuse(refusal)
            return self._refuse_upload(request, form, refusal.status)
        if _wants_json(request):
            return JsonResponse(
                {"preview": sheet_url("preview", sheet), "progress": sheet_url("progress", sheet)}, status=201
            )
        if sheet.has_columns:
            with suppress(OperatorError):  # the sheet's page says why
                preview_sheet(actor=actor_of(request), sheet_id=sheet.pk)
        return HttpResponseRedirect(sheet_url("change", sheet))

    def _form(self, *args: Any, **kwargs: Any) -> UploadForm:
        form = UploadForm(*args, **kwargs)
        field = form.fields["operator"]
        widget = OperatorSelect(RateSheet._meta.get_field("operator"), self.admin_site)
        widget.choices = field.widget.choices
        field.widget = widget
        return form

    def _refuse_upload(self, request: HttpRequest, form: UploadForm, status: int) -> HttpResponse:
        if _wants_json(request):
            return JsonResponse({"errors": form.errors}, status=max(status, 400))
        response = self._show_upload(request, form)
        response.status_code = status
        return response

    def _show_upload(self, request: HttpRequest, form: UploadForm) -> HttpResponse:
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media + form.media,
            "title": "Import a rate sheet",
            "form": form,
            "most_bytes": MOST_BYTES,
            "too_large": TOO_LARGE,
        }
        pk = chosen_operator(request)
        if operator := Operator.objects.live().filter(pk=pk).first() if pk else None:
            context |= {"preset": operator, **about_operator(request, operator)}
        return TemplateResponse(request, "admin/routing/ratesheet/upload.html", context)


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept") == "application/json"
