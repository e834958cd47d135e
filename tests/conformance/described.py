"""The API as its own description tells of it, for schemathesis; with things that exist, and rules beyond schemas."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final
from uuid import UUID

import schemathesis
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import RejectedPositiveData

from config.devkeys import sign_token
from config.schema import Generator, InternalGenerator
from operators.models import Operator
from routing.api.sheets.parsers import XLSX
from routing.models import DestinationPrefix, RateSheet, RoutingRule
from tests.config.peers import Connection
from tests.factories import make_operator
from tests.routing.cast import make_destination, make_rule
from tests.routing.imports.cast import applied, row

BEYOND_SCHEMA: Final = re.compile(
    "|".join(
        (
            # Other fields, the clock, and what is stored.
            "This moment is not (after from|before to)|At most [0-9]+ days (before to|ahead)|has passed",
            "no more than [0-9]+ (digits|decimal places)",
            # A header that may be left out is sometimes given a text that its own pattern forbids.
            "One ETag in quotes",
            "There is no such operator|An MNC needs an MCC|Say in which currency|give operatorId, prefix or number",
            "Give another operator|its own backup|a ring|no previous password|key was used for another request",
            "The form tells the file's name",
            # JSON Schema takes 7.0 for an integer, and years before 1970 for moments; we do not.
            "This field is a whole number|A whole number from 1 to",
            r"A moment with its offset, such as",
            # Reports: their clock, and numbers as a connector writes them.
            "[Aa] whole number|ahead of our clock|Too long ago|RFC 3339|no cursor of this listing",
            # Lists of words, and signs by their kind.
            "Each currency once",
            "three-letter code of ISO 4217|two-letter code of ISO 3166-1",
            "MCC [0-9]+ belongs to|Say why|A day such as",
            "must not contain line breaks or control characters|Null characters are not allowed",
            "NUL and lone surrogates are not text",
        )
    )
)


schemathesis.serializer.alias(XLSX, "application/octet-stream")
# What is in a file is no matter of the description.
FILES: Final = frozenset({"file", "columnMap"})
CONFIG: Final = {
    "checks": {
        # What a request that keeps the schema may still meet: nothing there, another state, another version.
        "positive_data_acceptance": {"expected-statuses": ["2xx", 304, 404, 409, 412]},
        "missing_required_header": {"expected-statuses": [401, 428]},
        "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 412, 413, 415, 428]},
    }
}

Case = schemathesis.Case[Any]


class Described:
    """A listener's description, loaded with a caller's token; counts what was answered."""

    def __init__(self, generator: type[Generator], application: Any, *, prefix: str) -> None:
        document = json.loads(json.dumps(generator().get_schema(public=True)))
        document["paths"] = {
            path: without_admin_id(item) for path, item in document["paths"].items() if path.startswith(prefix)
        }
        self.statuses = Counter[tuple[str, int]]()
        self.wanted = Counter[tuple[str, int]]()
        self.schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(CONFIG))
        self.schema.app = application

        @self.schema.hook
        def after_call(context: Any, case: Case, response: Response) -> None:
            self.statuses[case.operation.label, response.status_code] += 1
            if case.meta is not None and case.meta.generation.mode.is_positive:
                self.wanted[case.operation.label, response.status_code] += 1

        @self.schema.hook
        def filter_failure(context: Any, failure: Failure, case: Case, response: Response) -> bool:
            return is_a_fault(failure, response)

    def forget(self) -> None:
        self.statuses.clear()
        self.wanted.clear()

    def share_of_successes(self, operation: str = "") -> float:
        """Return the part of the requests that keep the schema, of all or of one operation, that met 2xx or 304."""
        asked = {key: count for key, count in self.wanted.items() if not operation or key[0] == operation}
        return sum(count for (_, status), count in asked.items() if status < 400) / max(1, sum(asked.values()))


class InternalApplication(WSGIHandler):
    """Answer as the internal process does to one caller's certificate, whatever the settings of this one say."""

    def __init__(self, identity: str) -> None:
        self._connection = Connection(uris=(identity,))
        with override_settings(MIDDLEWARE=settings.INTERNAL_MIDDLEWARE):
            super().__init__()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return super().__call__({**environ, "gunicorn.socket": self._connection}, start_response)

    def get_response(self, request: Any) -> Any:
        request.urlconf = "config.internal_urls"
        return super().get_response(request)


def described_admin() -> Described:
    made = Described(Generator, WSGIHandler(), prefix="/v1/admin/")

    @made.schema.auth(refresh_interval=None)
    class Token:
        def get(self, case: Case, context: object) -> str:
            return sign_token(subject="bob", scope="ops:admin", minutes=60)

        def set(self, case: Case, token: str, context: object) -> None:
            case.headers["Authorization"] = f"Bearer {token}"

    return made


def described_internal(identity: str) -> Described:
    return Described(InternalGenerator, InternalApplication(identity), prefix="/v1/internal/")


def check(case: Case) -> None:
    """Send one request, and let all checks look at its answer."""
    name_what_exists(case)
    case.call_and_validate()


def name_what_exists(case: Case) -> None:
    """Let most of the generated ids be ids of things that are there."""
    for name, value in (case.path_parameters or {}).items():
        if is_to_exist(value) and (found := id_of(name)):
            case.path_parameters[name] = found


def without_admin_id(item: dict[str, Any]) -> dict[str, Any]:
    """Leave out the header that is right only with one value; tests of identity are about it."""
    for operation in item.values():
        operation["parameters"] = [each for each in operation.get("parameters", ()) if each["name"] != "X-Admin-Id"]
    return item


def is_a_fault(failure: Failure, response: Response) -> bool:
    """Leave out refusals of what no schema can say, and of nothing else."""
    if response.status_code == 202 and failure.title == "Schema-violating request accepted":
        # Of a batch of reports the good ones are taken, and the others told of.
        return not json.loads(response.content).get("rejected")
    if isinstance(failure, RejectedPositiveData) and response.status_code == 403:
        # Another service's address; which is whose is the matrix's matter.
        return bool(json.loads(response.content)["detail"] != "This address is not for this caller.")
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    errors = json.loads(response.content).get("errors", ())
    return not (errors and all(error["field"] in FILES or BEYOND_SCHEMA.search(error["message"]) for error in errors))


def is_to_exist(value: object) -> bool:
    try:
        return UUID(str(value)).int % 8 != 0
    except ValueError:
        return False


def id_of(parameter: str) -> str | None:
    """Name one thing that exists, made again when a request has deleted it."""
    match parameter:
        case "operatorId":
            return str(operator().pk)
        case "ruleId":
            return str((RoutingRule.objects.first() or make_rule(operator())).pk)
        case "prefixId":
            return str((DestinationPrefix.objects.first() or make_destination("+4479", "GB")).pk)
        case "sheetId":
            return str((RateSheet.objects.first() or applied(operator(), row("+4479", "0.04"))).pk)
    return None


def operator() -> Operator:
    return Operator.objects.live().order_by("created_at").first() or make_operator()
