"""A rollout as a text, and as JSON."""

import io
import json

from hypothesis import given, settings

from agentcore_rl.cli.terminal import Style
from agentcore_rl.cli.transcript import rollout_json, transcript
from agentcore_rl.codec import decode_record, encode_record
from made_rollouts import golden_rollout, make_rollout, raw, rollouts

PLAIN = Style(io.StringIO())


def test_a_transcript_tells_the_story():
    """Prompt, answer, tool call with arguments and what became of it, tool message, reward, failure."""
    lines = list(transcript(golden_rollout(), PLAIN, location="rollouts/run/x.json"))
    text = "\n".join(lines)
    assert lines[0] == "task.2  failed, reward 0.75"
    assert "  suspect: inferred_scope" in lines
    order = [
        "record rollouts/run/x.json",
        "system",
        "Use the calculator.",
        "user",
        "What is 6 · 7? 😀",
        "turn 0  main, ",
        "2 HTTP attempts",
        'calls calculator {"expression": "6*7"}',
        "succeeded, 0.001 s",
        "tool call-1",
        "42",
        "turn 1",
        "#### 42",
        "output",
        "reward  0.75; correct 1 x 0.5; format 0.5 x 0.5; metric length 12",
        "failure reward (ContractError)",
        "The reward is NaN.",
    ]
    at = 0
    for words in order:
        assert words in text[at:], words
        at = text.index(words, at)


def test_an_answer_that_is_sent_back_is_not_shown_twice():
    """The next turn shows what its prompt adds, and not the answer before it."""
    text = "\n".join(transcript(make_rollout(3), PLAIN))
    assert [text.count(f"answer {number}") for number in range(3)] == [1, 1, 1]


def test_long_texts_are_folded():
    """2,000 characters or 24 lines, and how many more there are; all of it with `full`."""
    long = make_rollout(
        output="x" * 3000, messages=[raw({"role": "user", "content": "y\n" * 100}), raw({"content": "a"})]
    )
    folded = list(transcript(long, PLAIN))
    assert "  ... 1,000 more characters (--full)" in folded
    assert "  ... 153 more characters (--full)" in folded
    whole = list(transcript(long, PLAIN, full=True))
    assert "  " + "x" * 3000 in whole
    assert whole.count("  y") == 100


@settings(max_examples=30)
@given(rollouts())
def test_any_record_can_be_shown(rollout):
    """Whatever a record holds makes a harmless text and strict JSON."""
    stored = decode_record(encode_record(rollout, bucket="", key="k"))
    for line in transcript(stored, PLAIN, location="k", full=True):
        assert "\x1b" not in line
    told = json.loads(json.dumps(rollout_json(stored, location="k"), allow_nan=False))
    assert len(told["turns"]) == len(stored.turns)
    assert told["status"] == stored.status.value


def test_json_has_whole_prompts_and_ids():
    """A turn's messages and ids are those of the whole prompt."""
    told = rollout_json(golden_rollout())
    first, second = told["turns"][:2]
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert first["answer_ids"] == [49152, 7]
    assert first["logprobs"] == [-0.5, -1.25]
    assert second["prompt_ids"] == [1, 2, 3, 49152, 7, 9]
    assert told["output"]["rollout_data"] == {"$see": "turns"}
    assert told["reward"]["scores"] == {"correct": 1.0, "format": 0.5}
