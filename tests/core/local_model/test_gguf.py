"""What stands at the beginning of a GGUF file."""

import struct

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_model.gguf import read_metadata


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _file(*pairs: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs)


def test_pairs_of_every_type_are_read(tmp_path):
    """Numbers, texts and lists of them."""
    file = tmp_path / "a.gguf"
    file.write_bytes(
        _file(
            _text("n") + struct.pack("<II", 4, 7),
            _text("f") + struct.pack("<If", 6, 0.5),
            _text("b") + struct.pack("<I?", 7, True),
            _text("t") + struct.pack("<I", 8) + _text("日"),
            _text("l") + struct.pack("<IIQ3i", 9, 5, 3, 1, -2, 3),
            _text("m") + struct.pack("<IIQ", 9, 8, 2) + _text("x") + _text("y"),
        )
    )
    assert read_metadata(file) == {"n": 7, "f": 0.5, "b": True, "t": "日", "l": [1, -2, 3], "m": ["x", "y"]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGML",
        _file(version=9),
        _file(_text("n") + struct.pack("<I", 4)),
        _file(_text("n") + struct.pack("<II", 77, 0)),
        _file(struct.pack("<Q", 1 << 60)),
        _file(_text("l") + struct.pack("<IIQ", 9, 4, 1 << 60)),
    ],
)
def test_what_is_no_gguf_file_is_refused(tmp_path, content):
    """With a sentence, whatever is broken, and without taking memory that its lengths ask for."""
    file = tmp_path / "a.gguf"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read as a GGUF file"):
        read_metadata(file)
