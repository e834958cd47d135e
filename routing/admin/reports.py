"""The pages of the reports, each also as a CSV file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

from operators.wire import rfc3339
from routing.admin.report_forms import CountryForm, PriceForm
from routing.destinations import country_name
from routing.reports.coverage import (
    Carriers,
    CountryCover,
    Cover,
    DestinationCover,
    carriers_of,
    cover_of_countries,
    cover_of_country,
)
from routing.reports.prices import Price, PriceSeries, prices_at
from routing.spreadsheet import csv_answer, harmless

PAGE: Final = 100
# A file's most rows: each takes three lookups in the index.
MOST_IN_FILE: Final = 50_000
NO_COUNTRY: Final = "none"
WORST_FIRST: Final = {Cover.NONE: 0, Cover.PARTLY: 1, Cover.FULL: 2}


@dataclass(frozen=True)
class NetworkCover:
    """One network of a country in numbers of its prefixes."""

    network: str
    prefixes: int
    uncovered: int


@dataclass(frozen=True)
class Line:
    """One destination prefix with those who carry it."""

    row: DestinationCover
    carriers: Carriers | None


@require_safe
@permission_required("routing.view_routingrule", raise_exception=True)
def price_report(request: HttpRequest) -> HttpResponseBase:
    """Show which price was in force at a moment, and what came before and after."""
    form = PriceForm(request.GET) if request.GET else PriceForm()
    context: dict[str, Any] = {"form": form, "most_in_file": MOST_IN_FILE}
    if form.is_bound and form.is_valid():
        asked = form.asked(timezone.now())
        if request.GET.get("format") == "csv":
            found = prices_at(asked.at, operator_id=asked.operator_id, number=asked.number, limit=MOST_IN_FILE)
            return csv_answer(f"prices-{asked.at:%Y-%m-%d}", PRICE_COLUMNS, (_price_cells(row) for row in found))
        number = _page_number(request)
        rows = prices_at(
            asked.at,
            operator_id=asked.operator_id,
            number=asked.number,
            limit=PAGE + 1,
            offset=(number - 1) * PAGE,
        )
        context |= {
            "asked": asked,
            "rows": rows[:PAGE],
            "number": number,
            "previous": _address(request, p=str(number - 1)) if number > 1 else "",
            "next": _address(request, p=str(number + 1)) if len(rows) > PAGE else "",
        }
    return _show(request, "prices", "Prices as of a date", context)


@require_safe
@permission_required("routing.view_routingrule", raise_exception=True)
def coverage_report(request: HttpRequest) -> HttpResponseBase:
    """Show which destinations nobody carries: the countries in numbers, or one country's prefixes."""
    if (code := request.GET.get("country", "")) == "":
        return _overview(request, "coverage", "Coverage gaps", key=lambda row: (-row.uncovered, row.country))
    rows = _rows_of(code)
    rows.sort(key=lambda row: (WORST_FIRST[row.cover], row.prefix))
    if request.GET.get("format") == "csv":
        return csv_answer(f"coverage-{_name(code)}", COVER_COLUMNS, map(_cover_cells, rows))
    counts = Counter(row.cover for row in rows)
    page = Paginator(rows, PAGE).get_page(_page_number(request))
    context = {
        "total": len(rows),
        "uncovered": counts[Cover.NONE],
        "partly": counts[Cover.PARTLY],
        "covered": counts[Cover.FULL],
        "networks": _networks(rows),
    }
    return _show_country(request, "coverage", "Coverage gaps", code, page, context)


@require_safe
@permission_required("routing.view_routingrule", raise_exception=True)
def single_operator_report(request: HttpRequest) -> HttpResponseBase:
    """Show which destinations lose their last operator when one fails."""
    if (code := request.GET.get("country", "")) == "":
        return _overview(request, "single", "Single operators", key=lambda row: (-row.single, row.country))
    rows = [row for row in _rows_of(code) if row.is_single]
    if request.GET.get("format") == "csv":
        return csv_answer(f"single-operator-{_name(code)}", COVER_COLUMNS, map(_cover_cells, rows))
    page = Paginator(rows, PAGE).get_page(_page_number(request))
    operators = Counter((row.operator_id, row.operator) for row in rows).most_common(20)
    context = {
        "total": len(rows),
        "operators": [(operator_id, name, count) for (operator_id, name), count in operators],
    }
    return _show_country(request, "single", "Single operators", code, page, context)


def _overview(request: HttpRequest, tab: str, title: str, *, key: Any) -> HttpResponseBase:
    rows = sorted(cover_of_countries(timezone.now()), key=key)
    if request.GET.get("format") == "csv":
        return csv_answer("coverage", COUNTRY_COLUMNS, map(_country_cells, rows))
    context = {
        "rows": [(row, country_name(row.country), row.country or NO_COUNTRY) for row in rows],
        "form": CountryForm(countries=[row.country for row in rows]),
        "totals": {
            "countries": len(rows),
            "destinations": sum(row.destinations for row in rows),
            "uncovered": sum(row.uncovered for row in rows),
            "single": sum(row.single for row in rows),
        },
    }
    return _show(request, tab, title, context, template="overview")


def _show_country(
    request: HttpRequest, tab: str, title: str, code: str, page: Page[DestinationCover], context: dict[str, Any]
) -> HttpResponse:
    shown = list(page.object_list)
    carriers = carriers_of(shown, timezone.now()) if tab == "coverage" else {}
    name = country_name(_code(code)) or "No country"
    context |= {
        "code": code,
        "country": name,
        "page": page,
        "lines": [Line(row, carriers.get(row.prefix)) for row in shown],
        "previous": _address(request, p=str(page.number - 1)) if page.has_previous() else "",
        "next": _address(request, p=str(page.number + 1)) if page.has_next() else "",
    }
    return _show(request, tab, f"{title}: {name}", context)


def _show(
    request: HttpRequest, tab: str, title: str, context: dict[str, Any], *, template: str = ""
) -> TemplateResponse:
    whole = {
        **admin.site.each_context(request),
        "title": title,
        "tab": tab,
        "csv": _address(request, format="csv", p=""),
        "now": timezone.now(),
        **context,
    }
    return TemplateResponse(request, f"admin/routing/reports/{template or tab}.html", whole)


def _rows_of(code: str) -> list[DestinationCover]:
    return cover_of_country(_code(code), timezone.now())


def _code(code: str) -> str:
    return "" if code == NO_COUNTRY else code


def _name(code: str) -> str:
    return code if code.isalpha() and code.isascii() else "country"


def _networks(rows: Iterable[DestinationCover]) -> list[NetworkCover]:
    """Count prefixes by network, those with the most that nobody carries first."""
    total: Counter[str] = Counter()
    uncovered: Counter[str] = Counter()
    for row in rows:
        total[row.network] += 1
        uncovered[row.network] += row.cover is not Cover.FULL
    found = [NetworkCover(name, count, uncovered[name]) for name, count in total.items() if name]
    return sorted(found, key=lambda each: (-each.uncovered, -each.prefixes, each.network))


def _page_number(request: HttpRequest) -> int:
    given = request.GET.get("p", "")
    return max(1, int(given)) if given.isascii() and given.isdecimal() and len(given) < 7 else 1


def _address(request: HttpRequest, **changes: str) -> str:
    """Give this page's address with other parameters; an empty one is left out."""
    query: QueryDict = request.GET.copy()
    for name in ("format", "p"):
        query.pop(name, None)
    for name, value in changes.items():
        if value:
            query[name] = value
    return f"?{query.urlencode()}"


PRICE_COLUMNS: Final = (
    *("operatorId", "operator", "status", "prefix", "mcc", "mnc", "takenByLongerPrefix"),
    *("costPerSegment", "currency", "effectiveFrom", "effectiveTo"),
    *("costBefore", "currencyBefore", "fromBefore", "toBefore"),
    *("costAfter", "currencyAfter", "fromAfter", "toAfter"),
)
COVER_COLUMNS: Final = ("prefix", "network", "mcc", "mnc", "cover", "rulePrefix", "onlyOperatorId", "onlyOperator")
COUNTRY_COLUMNS: Final = ("country", "name", "destinations", "uncovered", "singleOperator")


def _price_cells(row: PriceSeries) -> list[object]:
    return [
        row.operator_id,
        harmless(row.operator),
        row.status,
        row.prefix,
        row.mcc,
        row.mnc,
        "yes" if row.is_beaten else "no",
        *(cell for price in (row.then, row.before, row.after) for cell in _of_price(price)),
    ]


def _of_price(price: Price | None) -> Iterator[object]:
    if price is None:
        yield from ("", "", "", "")
    else:
        yield from (price.cost, price.currency)
        yield from (rfc3339(moment) if moment else "" for moment in (price.start, price.end))


def _cover_cells(row: DestinationCover) -> list[object]:
    return [
        row.prefix,
        harmless(row.network),
        row.mcc,
        row.mnc,
        row.cover.value,
        row.rule,
        row.operator_id,
        harmless(row.operator or ""),
    ]


def _country_cells(row: CountryCover) -> list[object]:
    return [row.country, country_name(row.country), row.destinations, row.uncovered, row.single]


urlpatterns: list[URLPattern] = [
    path(
        "",
        admin.site.admin_view(RedirectView.as_view(pattern_name="routing-report-prices")),
        name="routing-reports",
    ),
    path("prices/", admin.site.admin_view(price_report), name="routing-report-prices"),
    path("coverage/", admin.site.admin_view(coverage_report), name="routing-report-coverage"),
    path("single-operator/", admin.site.admin_view(single_operator_report), name="routing-report-single"),
]
