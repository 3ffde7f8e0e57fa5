"""The real SmolLM2 on llama.cpp: its tokenizer and template are what ours say they are."""

import json
import random
import urllib.request
from collections.abc import Iterator

import pytest

from agentcore_rl.local_model import LocalModel
from agentcore_rl.local_model.model_file import find_model
from agentcore_rl_gateway.history import History
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.choice import CaptureOnly, Chosen, choose_renderer
from agentcore_rl_gateway.rendering.gguf import gguf_vocabulary
from agentcore_rl_gateway.rendering.self_test import OneToken, self_test
from agentcore_rl_gateway.rendering.trials import INJECTION, TOOLS
from made_vocabulary import message_of

VOCABULARY, TEMPLATE = gguf_vocabulary(find_model())


class View:
    """What llama.cpp can be asked."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path, body):
        """One request."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=50) as answer:
            return json.load(answer)

    def complete(self, prompt, most):
        """Sampled ids, and what is said of them."""
        wanted = {"prompt": list(prompt), "n_predict": most, "temperature": 0, "id_slot": 0}
        return self.ask("/completion", {**wanted, "n_probs": 1, "return_tokens": True})

    def tokenize(self, text):
        return self.ask("/tokenize", {"content": text, "add_special": False, "parse_special": True})["tokens"]

    def render(self, messages, tools):
        offered = {"tools": list(tools)} if tools else {}
        return self.tokenize(self.ask("/apply-template", {"messages": list(messages), **offered})["prompt"])

    def one_token(self, prompt):
        said = self.complete(prompt, 1)
        entries = said["completion_probabilities"]
        return OneToken(said["tokens_evaluated"], said["tokens"], [one["logprob"] for one in entries])


@pytest.fixture(scope="module")
def view() -> Iterator[View]:
    """One running server for all of these tests."""
    with LocalModel() as model:
        yield View(model.engine_url)


def test_the_engine_means_the_same_by_every_id(view):
    """All eight parts pass, and none is left out."""
    report = self_test(ChatMLHermes(VOCABULARY), VOCABULARY, view)
    assert [(part.problems, part.skipped) for part in report.parts] == [((), None)] * 8


def test_the_engine_confirms_each_prompt_of_a_conversation(view):
    """Three turns: it evaluates the prompt that was planned, and its cache has what was sampled."""
    history = History(ChatMLHermes(VOCABULARY))
    messages = [{"role": "user", "content": f"Say two words. {INJECTION}"}]
    known = 0
    for turn in range(3):
        plan = history.plan(messages, TOOLS)
        said = view.complete(plan.prompt_ids, 6)
        ids = said["tokens"]
        assert len(ids) == said["tokens_predicted"]
        assert said["tokens_evaluated"] == len(plan.prompt_ids)
        if turn:
            assert said["timings"]["cache_n"] >= known
        known = len(plan.prompt_ids) + len(ids) - 1
        parsed = history.renderer.parse(ids)
        # A call that is cut short is served as text.
        text = history.renderer.text(ids) if parsed.calls else parsed.content
        history.commit(plan, ids, [-1.0] * len(ids), said["stop_type"], f"r{turn}")
        messages += [message_of(text), {"role": "user", "content": "More."}]
    assert len(history.rows()) == 1
    assert not history.forks


def test_random_text_has_the_same_ids(view):
    """Blanks, scripts, digits and control tokens in any order."""
    draw = random.Random(5)
    parts = [*VOCABULARY.control][:6] + list(" \n\r\t'0123_-<|>{}[]é日🙂aZ") + ["the", " a", "ing"]
    for _ in range(60):
        text = "".join(draw.choice(parts) for _ in range(40))
        assert VOCABULARY.encode(text) == view.tokenize(text)


def test_the_models_own_template_is_for_another_engine(view):
    """This engine was given one with tools: the file's own differs, and is not served."""
    chosen = choose_renderer(VOCABULARY, template=TEMPLATE, engine=view)
    assert isinstance(chosen, CaptureOnly)
    assert chosen.reason == "template_unfit"


def test_the_models_own_template_serves_text_alone():
    """Where no engine contradicts it."""
    assert isinstance(choose_renderer(VOCABULARY, template=TEMPLATE), Chosen)
