"""Endpoints: keys that do not show, and who may name one."""

import copy
import ipaddress
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.endpoint import Endpoint, Secret, check_endpoint, is_link_local, is_loopback, matches
from agentcore_rl.exceptions import NotAllowed

KEY = "sk-planted-1234567890"
METADATA = ipaddress.IPv4Address("169.254.169.254")


def refused(url: str, *, allowed: Any = ("*",), own: str | None = None) -> bool:
    """Whether a payload may not name it."""
    try:
        assert check_endpoint(url, allowed=allowed, own=own) == url
    except NotAllowed:
        return True
    return False


def test_a_secret_does_not_show():
    """No way of turning it into text by accident gives its value."""
    secret = Secret(KEY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", "%s" % secret]  # noqa: UP031
    shown += [f"{secret}", repr([secret]), repr({"a": secret}), repr(Endpoint("http://x", api_key=secret))]
    shown += [str(ValueError(secret)), repr(ValueError(secret))]
    assert not [text for text in shown if KEY in text]
    assert secret.reveal() == KEY
    assert secret == KEY
    assert bool(Secret("")) is False
    assert str(Secret("")) == ""
    for copied in (copy.copy(secret), copy.deepcopy(secret), pickle.loads(pickle.dumps(secret))):
        assert isinstance(copied, Secret)
        assert copied.reveal() == KEY


def test_an_endpoint_shows_no_key():
    """Headers and extra body fields may hold keys, so they do not show at all."""
    endpoint = Endpoint(
        "http://x/v1",
        "m",
        Secret(KEY),
        extra_body={"access_token": KEY},
        headers={"x-api-key": KEY, "authorization": f"Bearer {KEY}"},
    )
    for text in (repr(endpoint), str(endpoint), f"{endpoint}"):
        assert KEY not in text
        assert "http://x/v1" in text


LINK_LOCAL = [
    "http://169.254.169.254/latest",
    "http://169.254.169.254:80",
    "http://169.254.0.1",
    "http://169.254.169.254.",
    "http://2852039166",
    "http://0xA9FEA9FE",
    "http://0xa9.0xfe.0xa9.0xfe",
    "http://0251.0376.0251.0376",
    "http://169.254.43518",
    "http://169.16689662",
    "http://[::ffff:169.254.169.254]",
    "http://[::ffff:a9fe:a9fe]:8000/v1",
    "http://[64:ff9b::169.254.169.254]",
    "http://[2002:a9fe:a9fe::1]",
    "http://[fe80::1]",
    "http://[fe80::1%25eth0]",
    "http://[fd00:ec2::254]",
    "http://100.100.100.200",
    "http://168.63.129.16",
    "http://metadata.google.internal/computeMetadata",
    "http://Metadata.Google.Internal./x",
    "http://instance-data",
]


@pytest.mark.parametrize("url", LINK_LOCAL)
def test_link_local_addresses_are_always_refused(url: str):
    """In every spelling, also where the deployment opened its fence, also as its own."""
    assert refused(url)
    assert refused(url, own=url)
    assert refused(url, allowed=[url])


@given(
    st.sampled_from(
        ["{a}.{b}.{c}.{d}", "{n}", "0x{n:x}", "{a}.{b}.{cd}", "{a}.{bcd}", "0{a:o}.0{b:o}.0{c:o}.0{d:o}"]
    )
)
def test_spellings_of_an_address_are_one_address(form: str):
    """What resolvers take for an address is one."""
    a, b, c, d = METADATA.packed
    host = form.format(a=a, b=b, c=c, d=d, n=int(METADATA), cd=c * 256 + d, bcd=(b * 256 + c) * 256 + d)
    assert is_link_local(host)
    assert not is_loopback(host)


@given(st.ip_addresses(v=4))
def test_only_link_local_and_metadata_addresses_are_link_local(address: ipaddress.IPv4Address):
    """Any other address is not, in either family's spelling."""
    expected = address in ipaddress.ip_network("169.254.0.0/16")
    if str(address) not in ("100.100.100.200", "168.63.129.16", "192.0.0.192"):
        assert is_link_local(str(address)) is expected
        assert is_link_local(f"[::ffff:{address}]") is expected
    assert is_loopback(str(address)) is (address in ipaddress.ip_network("127.0.0.0/8"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "http://[::1",
        "http://user@127.0.0.1/v1",
        "http://user:pw@127.0.0.1/v1",
        "http://127.0.0.1@evil.example/v1",
        "http://evil.example\\@127.0.0.1/v1",
        "http://127.0.0.1\\.evil.example/v1",
        "http://127.0.0.1 evil.example/v1",
        "http://127.0.0.1\t.evil.example/v1",
        "http://127.0.0.1\n/v1",
        "http://127.0.0.1\x00.evil.example",
        "http://127.0.0.1%2eevil.example/v1",
        "http://127.0.0.1%00.evil.example/v1",
        "http://localhost。evil.example/v1",
        "http://１２７.0.0.1/v1",
        "http://169。254。169。254/v1",
        "http://ⓛocalhost/v1",
        "http://bücher.example/v1",
        "http://127.0.0.1/v1?key=1",
        "http://127.0.0.1/v1#x",
        "http://127.0.0.1/../admin",
        "http://127.0.0.1/v1/%2e%2E/admin",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(url: str):
    """Not a URL, userinfo, queries, other alphabets, escapes in the host, dots in the path."""
    assert refused(url)
    assert refused(url, allowed=None)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("https://localhost/v1", True),
        ("http://LOCALHOST./v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://127.1/v1", True),
        ("http://2130706433/v1", True),
        ("http://[::ffff:127.0.0.1]/v1", True),
        ("http://model.example:8000/v1", True),
        ("http://model.example:8000/v1/", True),
        ("http://model.example:8001/v1", False),
        ("https://model.example:8000/v1", False),
        ("http://localhost.evil.example/v1", False),
        ("http://0.0.0.0/v1", False),
        ("http://10.0.0.1/v1", False),
    ],
)
def test_without_a_fence_its_own_endpoint_and_loopback_are_open(url: str, allowed: bool):
    """Nothing else is."""
    assert refused(url, allowed=None, own="http://model.example:8000/v1") is not allowed


@pytest.mark.parametrize(
    ("url", "pattern", "allowed"),
    [
        ("https://api.example/v1", "https://api.example", True),
        ("https://api.example/v1", "https://api.example/v1", True),
        ("https://api.example/v1/", "https://api.example/v1", True),
        ("https://api.example/v2", "https://api.example/v1", False),
        ("https://API.example/v1", "https://api.example", True),
        ("https://a.b.example/v1", "https://*.example", True),
        ("https://evil.test/x.example", "https://*.example", False),
        ("https://evil.test/.example/v1", "https://*.example/*", False),
        ("https://a.example/v1/x/y", "https://*.example/*", True),
        ("https://a.example:444/v1", "https://a.example", False),
        ("https://a.example:444/v1", "https://a.example:*", True),
        ("http://a.example/v1", "https://*", False),
        ("http://[2001:db8::1]:80/v1", "http://[2001:db8::1]:80/v1", True),
        ("https://anything.test/v1", "*", True),
        ("https://a.example.evil.test/v1", "https://a.example", False),
        ("https://a.exampleevil.test/v1", "https://a.example*/v1", True),
        ("http://127.0.0.1/v1", "https://a.example", False),
    ],
)
def test_a_pattern_stays_within_its_part(url: str, pattern: str, allowed: bool):
    """A wildcard in the host matches no path; a closing one takes the rest."""
    assert refused(url, allowed=[pattern]) is not allowed


def test_a_set_fence_closes_loopback():
    """An empty list allows nothing but the deployment's own."""
    assert refused("http://127.0.0.1/v1", allowed=[])
    assert not refused("http://own.example/v1", allowed=[], own="http://own.example/v1/")


@given(st.text("abc/*", max_size=8), st.text("abc/*", max_size=8))
def test_patterns_match_part_by_part(value: str, pattern: str):
    """The rule, written as one regular expression."""
    parts = ["[^/]*".join(map(re.escape, part.split("*"))) for part in pattern.rstrip("/").split("/")]
    if len(parts) > 1 and pattern.rstrip("/").endswith("/*"):
        parts[-1] = ".*"
    expected = pattern in ("*", value) or re.fullmatch("/".join(parts), value.rstrip("/")) is not None
    assert matches(value, pattern) is expected


@given(st.text(max_size=40) | st.builds("http://{}/v1".format, st.text(max_size=20)))
def test_any_text_is_judged(url: str):
    """A sentence or a yes, never another exception; without a fence only loopback passes."""
    refused(url)
    if not refused(url, allowed=None):
        host = re.fullmatch(r"(?i)https?://(\[[^\]]*\]|[^:/]*)(:\d*)?(/.*)?", url)
        assert host is not None
        assert is_loopback(host[1])
