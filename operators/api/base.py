"""What the views of both APIs share."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class LengthRequired(APIException):
    status_code = 411
    default_detail = "Send Content-Length; a body without it would be taken for none."
    default_code = "LENGTH_REQUIRED"


class StrictView(APIView):
    """Refuse bodies of unknown length, and answer OPTIONS without the database."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            raise LengthRequired

    def options(self, request: Request | HttpRequest, *args: Any, **kwargs: Any) -> Response:
        return Response(status=status.HTTP_204_NO_CONTENT)
