"""The model endpoint that an agent should use, and who may name one."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agentcore_rl.exceptions import NotAllowed

__all__ = ["Endpoint", "Secret", "check_endpoint", "is_link_local", "is_loopback", "matches"]

# Libraries disagree about what else means (a backslash, a blank, letters that IDNA folds into dots
# and digits), so that the host which is checked might not be the one that is called.
_PLAIN_URL = re.compile(r"[!-\[\]-~]+")
_METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata.goog", "metadata", "instance-data"})
_METADATA_ADDRESSES = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


class Secret(str):
    """A string that shows itself only when asked for by `str.__str__`: `repr` and formatting give ***."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"

    def __format__(self, spec: str) -> str:
        return format("***" if self else "", spec)

    def __str__(self) -> str:
        return "***" if self else ""

    def reveal(self) -> str:
        """The value itself, for the one header that carries it."""
        return str.__str__(self)


NO_SECRET = Secret("")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Url, key, model and sampling that an agent should use.

    Attributes:
        base_url: of an OpenAI-compatible server, with its version path (`http://host:port/v1`).
        model: the model id on the wire; empty leaves what the agent asks for.
        api_key: the bearer token; empty for none.
        sampling: parameters that win over what the agent asks for (temperature, ...).
        extra_body: further top-level body fields that the server understands.
        timeout_s: seconds without a byte before a call counts as lost.
        headers: sent with each call.
    """

    base_url: str
    model: str = ""
    api_key: Secret = NO_SECRET
    sampling: Mapping[str, Any] = field(default_factory=dict)
    # Both may hold keys.
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout_s: float = 600.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def matches(value: str, pattern: str) -> bool:
    """Whether a value matches a fence's pattern.

    Patterns are shell style; `*` alone matches everything. A wildcard stays within its
    '/'-separated part (`https://*.example.com` is no other host's path), except that a closing
    `/*` takes everything behind it. A closing '/' makes no difference.
    """
    if pattern in ("*", value):
        return True
    parts, rules = value.rstrip("/").split("/"), pattern.rstrip("/").split("/")
    if rules[-1] == "*" and len(rules) > 1 and len(parts) > len(rules):
        parts = parts[: len(rules)]
    return len(parts) == len(rules) and all(map(fnmatch.fnmatchcase, parts, rules))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host spells, also in the short and numeric forms that resolvers take."""
    host = host.strip("[]").split("%")[0].rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            import socket

            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(address.packed[-4:])
        return inner or address
    return address


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by name or by address."""
    if host.lower().rstrip(".") == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def is_link_local(host: str) -> bool:
    """Whether the host is a link-local address, or another one where a cloud's metadata service lives."""
    address = _address(host)
    if address is None:
        return host.lower().rstrip(".") in _METADATA_HOSTS
    return address.is_link_local or address in _METADATA_ADDRESSES


def check_endpoint(url: str, *, allowed: Sequence[str] | None, own: str | None) -> str:
    """The url if a payload may name it.

    Args:
        url: what the payload names.
        allowed: the deployment's patterns (see `matches`), compared with the whole url and with its
            scheme, host and port; None: its own endpoint and loopback only.
        own: the deployment's own base url.

    Raises:
        NotAllowed: with the reason.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise NotAllowed("The endpoint's base_url is not a URL.") from None
    if not _PLAIN_URL.fullmatch(url):
        raise NotAllowed("The endpoint's base_url must be plain ASCII without blanks and backslashes.")
    if parts.scheme not in ("http", "https") or not host:
        raise NotAllowed("The endpoint's base_url must be an http(s) URL with a host.")
    if parts.username or parts.password:
        raise NotAllowed("The endpoint's base_url must not hold a user or a password; send api_key instead.")
    if parts.query or parts.fragment:
        raise NotAllowed("The endpoint's base_url must not hold a query or a fragment.")
    if "%" in parts.netloc or ".." in parts.path or "%2e" in parts.path.lower():
        raise NotAllowed("The endpoint's base_url must have no '%' in its host and no '..' in its path.")
    if is_link_local(host):
        raise NotAllowed(
            f"The endpoint's host {host} is link-local or a metadata service, which is never allowed."
        )
    if own and url.rstrip("/") == own.rstrip("/"):
        return url
    if allowed is None:
        if is_loopback(host):
            return url
    else:
        origin = f"{parts.scheme}://[{host}]" if ":" in host else f"{parts.scheme}://{host}"
        origin += f":{port}" if port else ""
        if any(matches(origin + parts.path, rule) or matches(origin, rule) for rule in allowed):
            return url
    raise NotAllowed(
        f"The endpoint's host {host} is not among those that this deployment allows; "
        "add a pattern for it to AGENTCORE_RL_ENDPOINTS of the app."
    )
