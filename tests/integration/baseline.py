"""The rules that every answer of the service keeps, as a passive scan of a web scanner would look for them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import urlsplit

import requests

YEAR: Final = 31_536_000
ALWAYS: Final = {
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
}
FORBIDDEN_HEADERS: Final = ("server", "x-powered-by", "via", "access-control-allow-origin", "x-aspnet-version")
FEATURES: Final = ("camera=()", "geolocation=()", "microphone=()", "payment=()", "usb=()")
WEAK: Final = re.compile(r"unsafe-|\*|data:(?!;)|http:|strict-dynamic")
TELLTALES: Final = re.compile(
    r"Traceback|File \"|line \d+, in |site-packages|/srv/|/home/|\.py\b|psycopg|SQLSTATE|SELECT |gunicorn|[Dd]jango/|"
    r"[Pp]ython/|OperationalError|ProgrammingError|DoesNotExist|Exception|DEBUG = "
)
HASHED: Final = re.compile(r"/static/.+\.[0-9a-f]{12}\.\w+$")
TEXT: Final = ("text/html", "text/css", "text/javascript", "text/plain", "text/csv")


@dataclass
class Page(HTMLParser):
    """What an HTML page loads, runs and sends."""

    links: list[str] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    posts: int = 0
    _form: str = ""
    _has_token: bool = False

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.faults += [f"inline {name}" for name in given if name == "style" or name.startswith("on")]
        self.faults += [
            f"script address {value}" for value in given.values() if value.lower().startswith("javascript:")
        ]
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") != "application/json"):
            self.faults.append(f"inline {tag}")
        if tag == "a" and given.get("target") == "_blank" and "noopener" not in given.get("rel", ""):
            self.faults.append("target=_blank without noopener")
        self.links += [given["href"]] if tag == "a" and "href" in given else []
        self.assets += [
            given[name]
            for name in ("src", "href", "data")
            if name in given and tag in ("script", "link", "img", "iframe", "object", "embed", "use")
        ]
        if tag == "form":
            self._form, self._has_token = given.get("method", "get").lower(), False
            if re.match(r"(https?:)?//", given.get("action", "")):
                self.faults.append(f"form to {given['action']}")
        elif tag == "input" and given.get("name") == "csrfmiddlewaretoken" and given.get("value"):
            self._has_token = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._form == "post":
            self.posts += 1
            self.faults += [] if self._has_token else ["form without token"]


def read(answer: requests.Response) -> Page:
    page = Page()
    page.feed(answer.text)
    page.faults += [f"asset from outside: {url}" for url in page.assets if re.match(r"(https?:)?//", url)]
    return page


def faults(answer: requests.Response, *, https: bool = True) -> list[str]:
    """List the rules that an answer breaks."""
    headers = answer.headers
    path = urlsplit(answer.url).path
    found = [f"{name}: {headers.get(name)}" for name, value in ALWAYS.items() if headers.get(name) != value]
    found += [f"{name} is told" for name in FORBIDDEN_HEADERS if name in headers]
    found += [
        f"Permissions-Policy lacks {each}" for each in FEATURES if each not in headers.get("permissions-policy", "")
    ]
    if headers.get("referrer-policy") not in ("same-origin", "no-referrer"):
        found.append(f"Referrer-Policy: {headers.get('referrer-policy')}")
    if headers.get("x-frame-options", "DENY") != "DENY":
        found.append("X-Frame-Options")
    found += _transport(headers.get("strict-transport-security", ""), https=https)
    found += _content(answer)
    found += _caching(headers.get("cache-control", ""), path, answer.status_code)
    for cookie in answer.raw.headers.getlist("Set-Cookie"):
        found += _cookie(cookie, https=https)
    if answer.status_code >= 400 and (telltale := TELLTALES.search(answer.text)):
        found.append(f"tells {telltale[0]!r}")
    if "Index of" in answer.text or "Directory listing" in answer.text:
        found.append("directory listing")
    return found


def _transport(hsts: str, *, https: bool) -> list[str]:
    if not https:
        return ["HSTS over plain HTTP"] if hsts else []
    age = re.match(r"max-age=(\d+)", hsts)
    is_strict = age and int(age[1]) >= YEAR and "includeSubDomains" in hsts
    return [] if is_strict else [f"Strict-Transport-Security: {hsts}"]


def _content(answer: requests.Response) -> list[str]:
    kind = answer.headers.get("content-type", "")
    found = []
    if answer.content and not kind:
        found.append("no Content-Type")
    if kind.startswith(TEXT) and "charset=utf-8" not in kind.replace('"', "").lower():
        found.append(f"Content-Type without charset: {kind}")
    policy = answer.headers.get("content-security-policy", "")
    if kind.startswith("text/html"):
        found += _policy(policy)
        found += read(answer).faults
    elif policy and WEAK.search(policy.replace("img-src 'self' data:", "")):
        found.append(f"weak policy: {policy}")
    return found


def _policy(policy: str) -> list[str]:
    """Ask for a policy that lists what is allowed; an image may be in the page, for Django's icons are."""
    rules = {name: value for name, _, value in (part.strip().partition(" ") for part in policy.split(";")) if name}
    found = [f"policy lacks {name}" for name in ("default-src", "base-uri", "form-action") if name not in rules]
    if rules.get("frame-ancestors") != "'none'":
        found.append("policy lets itself be framed")
    if rules.get("object-src", rules.get("default-src")) != "'none'":
        found.append("policy allows objects")
    found += [
        f"weak policy: {name} {value}"
        for name, value in rules.items()
        if WEAK.search(value) and (name, value) != ("img-src", "'self' data:")
    ]
    return found


def _caching(rule: str, path: str, status: int) -> list[str]:
    if path.startswith("/static/") and status in (200, 304):
        if HASHED.search(path):
            return [] if "immutable" in rule and "max-age=315360000" in rule else [f"hashed file: {rule}"]
        return [] if re.search(r"max-age=\d+", rule) else [f"static file: {rule}"]
    return [] if "no-store" in rule else [f"Cache-Control: {rule}"]


def _cookie(text: str, *, https: bool) -> list[str]:
    [(name, cookie)] = SimpleCookie(text).items()
    found = [
        f"cookie {name} without {flag}"
        for flag in ("httponly", "secure")
        if not cookie[flag] and (https or flag != "secure")
    ]
    if cookie["samesite"] not in ("Lax", "Strict"):
        found.append(f"cookie {name} without SameSite")
    if https and not name.startswith("__Host-"):
        found.append(f"cookie {name} without __Host-")
    if cookie["domain"] or cookie["path"] != "/":
        found.append(f"cookie {name} has a scope of its own")
    return found
