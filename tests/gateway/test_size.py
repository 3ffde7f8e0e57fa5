import random

from agentcore_rl.testing import Answer, ScriptedModel

TURNS, ADDED, SAMPLED = 50, 512, 128


def test_a_long_conversation_is_small(serve):
    """Fifty turns to 32,000 tokens: at most 0.6 MB on disk and 1 MB in memory, and linear in the turns."""
    chance = random.Random(1)
    prompt: list[int] = []

    def words(count: int) -> str:
        return " ".join(f"{chance.randrange(1000):03d}" for _ in range(count))

    def answer(_):
        ids = [chance.randrange(49_152) for _ in range(SAMPLED)]
        line = Answer(
            words(SAMPLED),
            token_ids=ids,
            prompt_token_ids=list(prompt),
            logprobs=[-chance.random() for _ in range(SAMPLED)],
        )
        prompt.extend(ids)
        return line

    messages, sizes = [], []
    with ScriptedModel(answer) as model:
        desk = serve(model.base_url)
        key = desk.open()
        del prompt[:]
        for _ in range(TURNS):
            messages.append({"role": "user", "content": words(ADDED)})
            prompt.extend(chance.randrange(49_152) for _ in range(ADDED))
            said = desk.chat(key, messages)[1]
            messages.append(said["choices"][0]["message"])
            sizes.append(sum(path.stat().st_size for path in desk.folder.glob("*.log")))
        session = desk.server.calls.sessions.find("r1")
        assert len(session.lineage) == 1
        assert session.lineage.held <= 1_000_000
    assert len(prompt) == TURNS * (ADDED + SAMPLED)
    assert sizes[-1] <= 600_000
    assert sizes[-1] <= 2.1 * sizes[TURNS // 2 - 1]
