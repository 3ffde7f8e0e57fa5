"""The frameworks' real agents on the gateway: one branch for each agent, whatever is done to messages."""

import itertools

import pytest

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.token_in import TokenIn
from gateway_agents import ORDERS, VOCABULARY, Way, judge, play_asker, play_writer
from gateway_doubles import vllm
from gateway_fidelity import EngineLog

pytestmark = [
    pytest.mark.leaves_running,  # CrewAI's event bus keeps ten threads
    pytest.mark.filterwarnings(
        # CrewAI reads fields of its own that it has deprecated.
        "ignore:(function_calling_llm is )?deprecated:DeprecationWarning",
        "ignore:Cannot set an attribute on 'crewai:ImportWarning",
    ),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("framework", ADAPTERS)
def test_ten_turns_are_one_branch(serve, framework, stream):
    """Thoughts or none, keys in any order: one row, every sampled id in it, and the record has the same."""
    log = EngineLog(lambda prompt: way.writer(prompt))  # noqa: PLW0108 - of the way that is played then
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        for thinks, order in itertools.product((False, True), ORDERS):
            way = Way(framework, thinks, order, stream)
            judge(way, play_writer(desk, log, way), agents=1)
            assert len(log.answers) == 10


@pytest.mark.parametrize("framework", ADAPTERS)
def test_sub_agents_are_as_many_branches_as_there_are(serve, framework):
    """An agent that asks three others, two of them at once: four rows."""
    log = EngineLog(lambda prompt: way.asker(prompt))  # noqa: PLW0108 - of the way that is played then
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        for stream in (False, True):
            way = Way(framework, stream=stream)
            judge(way, play_asker(desk, log, way), agents=4)
            assert len(log.answers) == 9
