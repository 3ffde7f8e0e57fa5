"""Texts of token ids."""

import json
import struct

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_model import find_model
from agentcore_rl.report import Vocabulary
from agentcore_rl.rollout import Tokens, Trajectory
from made_rollouts import make_rollout, make_turn
from report_runs import run_of


def written(folder, **parts):
    """A tokenizer.json."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"added_tokens": [{"id": 9, "content": "<|end|>"}], **parts}))
    return path


def test_a_character_for_each_byte(tmp_path):
    """GPT-2's way: spaces, line breaks, whole characters and parts of them."""
    vocab = {"Ġthe": 0, "Ċ": 1, "Ã©": 2, "ðŁĺ": 3, "a": 4, "<tool>": 5}
    decoder = {"type": "Sequence", "decoders": [{"type": "ByteLevel"}]}
    vocabulary = Vocabulary.read(written(tmp_path, model={"vocab": vocab}, decoder=decoder))
    assert vocabulary.texts([0, 1, 2, 3, 4, 5, 9, 77]) == {
        "0": " the",
        "1": "\n",
        "2": "é",
        "3": "\\xf0\\x9f\\x98",
        "4": "a",
        "5": "<tool>",
        "9": "<|end|>",
    }


def test_pieces_of_sentencepiece(tmp_path):
    """`▁` is a space, `<0x0A>` a byte; Unigram's vocabulary is a list."""
    unigram = {"vocab": [["<unk>", 0], ["▁the", -1.5], ["<0x0A>", -2], ["<0xE2>", -3]]}
    vocabulary = Vocabulary.read(written(tmp_path, model=unigram).parent)
    assert vocabulary.texts(range(4)) == {"0": "<unk>", "1": " the", "2": "\n", "3": "\\xe2"}


@pytest.mark.parametrize("parts", [{}, {"model": {}}, {"model": {"vocab": 3}}, {"model": []}])
def test_what_is_no_tokenizer(tmp_path, parts):
    """The error says what it must have."""
    with pytest.raises(ConfigurationError, match=r"is no tokenizer.json: it must have model.vocab"):
        Vocabulary.read(written(tmp_path, **parts))
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        Vocabulary.read(tmp_path / "nowhere.json")


def test_the_local_models_own_file():
    """A GGUF file holds its vocabulary: pieces of bytes, and those that control the model as they stand."""
    texts = Vocabulary.read(find_model()).texts(range(49_152))
    assert len(texts) == 49_152
    assert texts["1"] == "<|im_start|>"
    assert {" the", "\n", "4"} <= set(texts.values())


def test_a_gguf_file_without_a_vocabulary(tmp_path):
    """The error asks for the tokenizer's own file; what is no GGUF file at all is told too."""
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    with pytest.raises(ConfigurationError, match=r"holds no vocabulary: give the model's tokenizer.json"):
        Vocabulary.read(tmp_path / "model.gguf")
    (tmp_path / "model.gguf").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigurationError, match="cannot be read as a GGUF file"):
        Vocabulary.read(tmp_path / "model.gguf")


def test_a_page_carries_the_texts_of_its_ids_alone(page_of):
    """Those of all listed rollouts, given and sampled; none without a vocabulary."""
    rollouts = [
        make_rollout(
            task=f"t{n}",
            input_id=f"t{n}.0",
            trajectories=[Trajectory("main", None, [make_turn(tokens=Tokens(0, [n], [n + 1], None))])],
        )
        for n in range(2)
    ]
    vocabulary = Vocabulary({number: f"<{number}>" for number in range(9)})
    index, _ = page_of(run_of(rollouts), vocabulary=vocabulary)
    assert index["pieces"] == {"0": "<0>", "1": "<1>", "2": "<2>"}
    assert page_of(run_of(rollouts))[0]["pieces"] is None
