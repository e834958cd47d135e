"""How the OpenAPI description tells of each operation on destination prefixes."""

from __future__ import annotations

from functools import partial
from typing import Final

from operators.api.schema import IF_MATCH, IF_MATCH_REQUIRED, IF_NONE_MATCH, answer_header
from operators.api.schema import operation as _operation
from routing.api.destinations.examples import (
    CHANGED_DESTINATION,
    DESTINATION,
    DESTINATION_BODY,
    DESTINATION_CHANGED,
    DESTINATION_PATCH,
    DUPLICATE_PREFIX,
    INVALID_DESTINATION,
    INVALID_FILTER,
    NO_DESTINATION,
)
from routing.api.destinations.serializers import DestinationInput, DestinationPatch, DestinationSerializer

operation = partial(_operation, tag="Destination prefixes")

ETAG: Final = 'The row\'s version in quotes, such as "1"; goes into If-Match and If-None-Match.'
WITH_BODY: Final = (INVALID_DESTINATION, "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")

list_destinations = operation(
    "listDestinationPrefixes",
    "List destination prefixes",
    "By prefix unless ordered otherwise; those that cover a number come with the longest first. Parameters that do not "
    "exist are refused.",
    answer=DestinationSerializer(many=True),
    example=DESTINATION,
    errors=(INVALID_FILTER,),
)
create_destination = operation(
    "createDestinationPrefix",
    "Add a destination prefix",
    "Reference data are loaded; this is for what they lack. No reload touches the row.",
    status=201,
    answer=DestinationSerializer,
    example=DESTINATION,
    body=DestinationInput,
    body_example=DESTINATION_BODY,
    parameters=(answer_header("ETag", ETAG, 201), answer_header("Location", "The address of the new row.", 201)),
    errors=(*WITH_BODY, DUPLICATE_PREFIX),
)
read_destination = operation(
    "readDestinationPrefix",
    "Read a destination prefix",
    answer=DestinationSerializer,
    example=DESTINATION,
    parameters=(IF_NONE_MATCH, answer_header("ETag", ETAG, 200, 304)),
    errors=(NO_DESTINATION,),
)
update_destination = operation(
    "updateDestinationPrefix",
    "Change a destination prefix",
    "JSON merge: fields that are left out stay. The row is the staff's from then on: its origin becomes STAFF, and no "
    "reload of the reference data touches it. A request that changes nothing leaves it as it is.",
    answer=DestinationSerializer,
    example=CHANGED_DESTINATION,
    body=DestinationPatch(partial=True),
    body_example=DESTINATION_PATCH,
    parameters=(IF_MATCH_REQUIRED, answer_header("ETag", ETAG, 200)),
    errors=(*WITH_BODY, NO_DESTINATION, DUPLICATE_PREFIX, DESTINATION_CHANGED, "PRECONDITION_REQUIRED"),
)
delete_destination = operation(
    "deleteDestinationPrefix",
    "Delete a destination prefix",
    "What the reference data have comes back when they are loaded again: where they are wrong, change the row instead.",
    status=204,
    parameters=(IF_MATCH,),
    errors=("INVALID_IF_MATCH", NO_DESTINATION, DESTINATION_CHANGED),
)
