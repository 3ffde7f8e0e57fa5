"""The tokenizer that a GGUF file carries."""

import struct

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.rendering.gguf import gguf_vocabulary


def test_a_tokenizer_that_was_not_compared_is_not_rebuilt(tmp_path):
    """Other kinds cut text otherwise: their own file is asked for."""
    file = tmp_path / "a.gguf"
    key, kind = b"tokenizer.ggml.model", b"llama"
    pair = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(kind)) + kind
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair)
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
        gguf_vocabulary(file)
