from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_gateway.call import Mode
from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.server import Bounds
from agentcore_rl_gateway.serving import GatewayServer, Options
from gateway_desk import Desk


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Starts gateways in threads; they end with the test."""
    with ExitStack() as stack:

        def start(mode: Mode | str, folder: Path | None = None, **bounds: Any) -> Desk:
            fsync = bool(bounds.pop("fsync", False))
            place = folder or tmp_path / "log"
            answers = Capture(mode) if isinstance(mode, str) else mode
            options = Options(place, bounds=Bounds(**bounds), fsync=fsync)
            return Desk(stack.enter_context(GatewayServer(answers, options)), place)

        yield start


@pytest.fixture
def hello(serve: Callable[..., Desk]) -> Iterator[tuple[Desk, ScriptedModel]]:
    """A gateway in front of a model that always says hello."""
    with ScriptedModel(lambda _: Answer("Hello, friend.")) as model:
        yield serve(model.base_url), model
