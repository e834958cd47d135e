"""What a mesh's proxy tells of a caller, and what others would like it to have told."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from operators import metrics
from operators.api.xfcc import Malformed, last_element
from tests.config.peers import InternalClient
from tests.operators.api.cast import refused
from tests.servers import CONNECTOR, ROUTER

RESOLVE = "/v1/internal/routes/resolve?to=%2B447700900123"
OURS = "By=spiffe://ops.local/ns/ops/sa/operators;Hash=" + "ab" * 32


@pytest.fixture
def mesh(settings: Settings) -> Settings:
    """Stand behind a proxy on loopback, without TLS of our own."""
    settings.INTERNAL_TLS = False
    settings.INTERNAL_XFCC_PROXIES = (ip_network("127.0.0.0/8"), ip_network("::1"))
    return settings


def ask(header: str | None, sender: str = "127.0.0.1") -> InternalClient:
    client = InternalClient()
    client.credentials(**({} if header is None else {"HTTP_X_FORWARDED_CLIENT_CERT": header}))
    client.defaults["REMOTE_ADDR"] = sender
    return client


@pytest.mark.django_db
@pytest.mark.parametrize(
    "header",
    [
        pytest.param(f"URI={ROUTER}", id="URI alone"),
        pytest.param(f'{OURS};Subject="CN=x";URI={ROUTER}', id="as Istio writes it"),
        pytest.param(
            f'{OURS};Subject="O=A\\, B; C,CN=\\"router\\"";URI={ROUTER};DNS=a.svc;DNS=b.svc', id="hard subject"
        ),
        pytest.param(f"{OURS};URI={CONNECTOR},{OURS};URI={ROUTER}", id="the last of several"),
        pytest.param(f'Subject=",URI={CONNECTOR}";URI={ROUTER}', id="an element in quotes"),
        pytest.param(f'uri="{ROUTER}"', id="quoted, key in lower case"),
    ],
)
def test_it_believes_the_last_element_of_its_own_proxy(mesh: Settings, header: str) -> None:
    for sender in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert ask(header, sender).get(RESOLVE).status_code == 200


@pytest.mark.django_db
def test_it_knows_a_caller_of_the_mesh_by_its_dns_name(mesh: Settings) -> None:
    mesh.INTERNAL_CALLERS = (("routing-engine", "dns:router.sms.svc"),)
    assert ask(f"{OURS};URI=;DNS=router.sms.svc").get(RESOLVE).status_code == 200
    refused(ask(f"{OURS};URI={ROUTER};DNS=router.sms.svc").get(RESOLVE), status=403, code="FORBIDDEN")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param(f"URI={ROUTER},URI={CONNECTOR}", "service", id="only an earlier element"),
        pytest.param(f"URI={ROUTER},URI=spiffe://evil.local/x", "unknown", id="forged before the real one"),
        pytest.param(f"URI={ROUTER},{OURS}", "identity", id="last one has no name"),
        pytest.param(f"By={ROUTER};Hash=ab", "identity", id="the receiver's name"),
        pytest.param(f"URI={ROUTER};URI={ROUTER}", "identity", id="twice the same"),
        pytest.param(f"URI={CONNECTOR};URI={ROUTER}", "identity", id="two names"),
        pytest.param(f'Subject="CN={ROUTER}"', "identity", id="common name"),
        pytest.param(f'Subject="x,URI={ROUTER}"', "identity", id="inside quotes"),
        pytest.param(f'Subject="x\\";URI={ROUTER}"', "identity", id="behind an escaped quote"),
        pytest.param(f"XURI={ROUTER}", "identity", id="a longer key"),
        pytest.param(f'Subject="x;URI={ROUTER}', "header", id="a quote that never ends"),
        pytest.param(f'Subject="x"y;URI={ROUTER}', "header", id="more behind the quotes"),
        pytest.param(f'Subject=x"y";URI={ROUTER}', "header", id="quotes inside a value"),
        pytest.param(f"URI={ROUTER},", "header", id="an empty element at the end"),
        pytest.param(f"URI={ROUTER};", "header", id="an empty pair at the end"),
        pytest.param(f",URI={ROUTER}", "header", id="an empty element at the start"),
        pytest.param(f" URI={ROUTER}", "header", id="space before the key"),
        pytest.param(f"=x;URI={ROUTER}", "header", id="no key"),
        pytest.param(ROUTER, "header", id="no pair at all"),
        pytest.param("", "header", id="empty"),
        pytest.param(f"Hash=é;URI={ROUTER}", "header", id="not ASCII"),
        pytest.param(f"Hash=a\tb;URI={ROUTER}", "header", id="a control character"),
        pytest.param(f"Hash={'a' * 9000};URI={ROUTER}", "header", id="too long"),
        pytest.param(f"URI={ROUTER} ", "unknown", id="space behind the name"),
        pytest.param(None, "certificate", id="no header"),
    ],
)
def test_it_believes_nothing_else(mesh: Settings, header: str | None, reason: str) -> None:
    before = metrics.internal_refused.labels(reason)._value.get()
    answer = ask(header).get(RESOLVE)
    if reason in ("service", "unknown"):
        refused(answer, status=403, code="FORBIDDEN")
    else:
        refused(answer, status=401, code="UNAUTHENTICATED")
    assert metrics.internal_refused.labels(reason)._value.get() == before + 1


@pytest.mark.parametrize("sender", ["10.1.2.3", "::ffff:10.1.2.3", "128.0.0.1", "::2", "", "localhost", "127.1"])
def test_it_believes_nobody_but_its_proxy(mesh: Settings, sender: str) -> None:
    refused(ask(f"URI={ROUTER}", sender).get(RESOLVE), status=401, code="UNAUTHENTICATED")


def test_it_believes_nobody_unless_a_proxy_is_named(mesh: Settings) -> None:
    mesh.INTERNAL_XFCC_PROXIES = ()
    refused(ask(f"URI={ROUTER}").get(RESOLVE), status=401, code="UNAUTHENTICATED")


def test_it_believes_no_header_where_it_sees_certificates_itself(settings: Settings) -> None:
    settings.INTERNAL_XFCC_PROXIES = (ip_network("127.0.0.0/8"),)
    refused(ask(f"URI={ROUTER}").get(RESOLVE), status=401, code="UNAUTHENTICATED")


QUOTED = st.text(st.sampled_from('abXY09:/.,;="\\ '), max_size=12)
BARE = st.text(st.sampled_from("abcXYZ019:/.-_=%\\ "), max_size=30)


def written(pairs: list[tuple[str, str]]) -> str:
    escaped = [(key, value.replace("\\", "\\\\").replace('"', '\\"')) for key, value in pairs]
    return ";".join(f'{key}="{value}"' for key, value in escaped)


PAIRS = st.lists(st.tuples(st.sampled_from(["URI", "DNS", "Subject", "By"]), QUOTED), min_size=1, max_size=4)


@given(st.lists(PAIRS, min_size=1, max_size=3))
def test_it_reads_back_what_was_written(elements: list[list[tuple[str, str]]]) -> None:
    names = last_element(",".join(written(pairs) for pairs in elements))
    assert names.uris == [value for key, value in elements[-1] if key == "URI" and value]
    assert names.hosts == [value for key, value in elements[-1] if key == "DNS" and value]


@given(prefix=st.text(max_size=60), value=BARE)
def test_nothing_in_front_changes_who_the_last_element_names(prefix: str, value: str) -> None:
    """Whatever a caller sends, its proxy appends the truth: either that is read, or nothing is."""
    try:
        names = last_element(f"{prefix},{OURS};URI={value}")
    except Malformed:
        return
    assert names.uris in ([value], [])
    assert not names.hosts
