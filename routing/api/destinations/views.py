"""The admin API of destination prefixes: parse, call one action, answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from operators.api.filters import StrictFilterBackend
from operators.api.preconditions import etag, expected_version, is_known
from operators.api.views import AdminView, read
from routing import destinations
from routing.api.destinations import schema
from routing.api.destinations.filters import DestinationFilter
from routing.api.destinations.serializers import (
    DestinationInput,
    DestinationPatch,
    DestinationSerializer,
    destination_values,
)
from routing.models import DestinationPrefix


class DestinationList(AdminView, ListAPIView[DestinationPrefix]):
    serializer_class = DestinationSerializer
    filter_backends = (StrictFilterBackend,)
    filterset_class = DestinationFilter
    queryset = DestinationPrefix.objects.all()

    @schema.list_destinations
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @schema.create_destination
    def post(self, request: Request) -> Response:
        values = destination_values(read(DestinationInput(data=request.data)))
        row = destinations.create_destination(actor=self.actor, values=values)
        location = reverse("destination-prefix", kwargs={"prefix_id": row.pk})
        return shown(row, status=status.HTTP_201_CREATED, Location=location)


class DestinationDetail(AdminView):
    @schema.read_destination
    def get(self, request: Request, prefix_id: UUID) -> Response:
        row = destinations.find_destination(prefix_id)
        if is_known(request, row):
            return Response(status=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag(row)})
        return shown(row)

    @schema.update_destination
    def patch(self, request: Request, prefix_id: UUID) -> Response:
        seen = expected_version(request, is_required=True)
        changes = destination_values(read(DestinationPatch(data=request.data, partial=True)))
        return shown(
            destinations.update_destination(
                actor=self.actor, prefix_id=prefix_id, changes=changes, expected_version=seen
            )
        )

    @schema.delete_destination
    def delete(self, request: Request, prefix_id: UUID) -> Response:
        destinations.delete_destination(
            actor=self.actor, prefix_id=prefix_id, expected_version=expected_version(request)
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


def shown(row: DestinationPrefix, *, status: int = status.HTTP_200_OK, **headers: str) -> Response:
    return Response(DestinationSerializer(row).data, status=status, headers={"ETag": etag(row), **headers})
