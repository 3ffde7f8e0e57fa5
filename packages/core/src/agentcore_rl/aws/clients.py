"""The one place that makes clients of AWS services, with what they need in a long-lived process.

    client("s3")                          one per process, service and region; any thread may call it
    client("sqs", region=region_of(url))  where the region stands in an ARN or a queue's URL

AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_{SERVICE} and AWS_REGION hold here; proxies, certificates and profiles are
botocore's. It reads credentials from variables and files once per session, so a session whose
credentials were refused is replaced: the next call of `client` sees what has been refreshed since.

Every call of the client that `client` returns may raise botocore's errors; `agentcore_rl.aws.faults`
says what they mean.
"""

from __future__ import annotations

import os
import re
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoRegionError
from botocore.loaders import Loader, create_loader

from agentcore_rl.aws.faults import asks_for_credentials
from agentcore_rl.exceptions import ConfigurationError

__all__ = ["CONNECT_TIMEOUT_S", "client", "region_of", "renew_credentials"]

CONNECT_TIMEOUT_S = 4.0
"""For so long a client waits for a connection."""
RENEWAL_S = 1.0
"""A session is replaced no sooner than this after it was made: many calls may be refused at once."""

_ARN = re.compile(r"arn:[a-z-]+:[a-z0-9-]+:(?P<region>[a-z0-9-]+):")
_HOST = re.compile(
    r"(?:(?:[a-z0-9-]+\.)*(?:sqs|sqs-fips)\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)"
    r"|(?P<legacy>[a-z]{2}(?:-[a-z]+)+-\d)\.queue)\.(?:vpce\.)?(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)"
)


def client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    timeout_s: float = 20.0,
    tries: int = 2,
    pool: int = 32,
) -> Any:
    """A thread-safe client of an AWS service; the same arguments give the same client.

    Ask again before every call rather than keeping it: after a fork, or when credentials were
    refused, this is another one. Asking is cheap.

    Args:
        service: botocore's name of the service, such as "s3".
        region: the region; None: AWS_REGION, AWS_DEFAULT_REGION or the profile's.
        endpoint_url: where the service is; None: what botocore finds.
        timeout_s: seconds without a byte of the answer before a call counts as lost.
        tries: requests that botocore makes for one call at most, the first included; it repeats
            what throttling, server errors and lost connections spoil, so 1 for what must not be sent twice.
        pool: connections that are kept open for calls of several threads at once.

    Raises:
        ConfigurationError: no region is known, the profile does not exist, or the endpoint is no URL.
    """
    # Read here and now, so that a client is never that of an environment that has changed.
    variable = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
    endpoint = endpoint_url or os.environ.get(variable) or os.environ.get("AWS_ENDPOINT_URL") or None
    arguments = (service, region or os.environ.get("AWS_REGION") or None, endpoint, timeout_s, tries, pool)
    return _clients.find(*arguments)


def region_of(name: str) -> str | None:
    """The region that an ARN or the URL of a queue names; None where none can be seen."""
    arn = _ARN.match(name)
    if arn is not None:
        return arn["region"]
    host = _HOST.fullmatch(urlsplit(name).hostname or "") if "://" in name else None
    return None if host is None else host["region"] or host["legacy"]


def renew_credentials() -> None:
    """Have the next clients read credentials anew; clients do this by themselves when AWS refuses theirs."""
    _clients.renew()


class _Clients:
    """The clients of one process and the session that they come from."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """In a forked child: connections and locks of the parent are not ours."""
        self._lock = threading.Lock()
        self._session: botocore.session.Session | None = None
        self._made_at = 0.0
        self._known: dict[tuple[Any, ...], Any] = {}
        # Reading the models of services is most of what a client costs; they stay the same.
        self._loader: Loader | None = None

    def find(self, *arguments: Any) -> Any:
        found = self._known.get(arguments)
        if found is None:
            with self._lock:  # sessions are not thread-safe
                found = self._known.get(arguments)
                if found is None:
                    found = self._known[arguments] = self._make(*arguments)
        return found

    def renew(self, *, used: botocore.session.Session | None = None) -> None:
        """Forget the session (if it is the one that was used), and with it its clients."""
        with self._lock:
            current = self._session is not None and used in (None, self._session)
            if current and time.monotonic() - self._made_at >= (RENEWAL_S if used else 0.0):
                # Calls that run keep theirs; its connections close when nobody has it any more.
                self._session, self._known = None, {}

    def _make(
        self,
        service: str,
        region: str | None,
        endpoint_url: str | None,
        timeout_s: float,
        tries: int,
        pool: int,
    ) -> Any:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=timeout_s,
            retries={"mode": "standard", "total_max_attempts": tries},
            max_pool_connections=pool,
            tcp_keepalive=True,
            user_agent_extra="agentcore-rl",
            # Else the region's own endpoint for S3 is not used in us-east-1.
            s3={"us_east_1_regional_endpoint": "regional"},
        )
        try:
            if self._session is None:
                self._loader = self._loader or create_loader()
                self._session = botocore.session.Session()
                self._session.register_component("data_loader", self._loader)
                self._made_at = time.monotonic()
            session = self._session
            made = session.create_client(
                service,
                region_name=region,
                endpoint_url=endpoint_url,
                config=config,
            )
        except NoRegionError:
            raise ConfigurationError(f"No AWS region is known for {service}; set AWS_REGION.") from None
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"No client for {service} can be made: {error}") from error

        def look(parsed: Any = None, exception: BaseException | None = None, **_: Any) -> None:
            code = (parsed or {}).get("Error", {}).get("Code", "")
            if asks_for_credentials(code if exception is None else exception):
                self.renew(used=session)

        for moment in ("after-call", "after-call-error"):
            made.meta.events.register(moment, look)
        return made


_clients = _Clients()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_clients.reset)
