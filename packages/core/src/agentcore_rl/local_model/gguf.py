"""What stands at the beginning of a GGUF file: its key-value pairs, without the weights.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

from agentcore_rl.exceptions import ConfigurationError

__all__ = ["read_metadata"]

_FORMS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_TEXT, _LIST = 8, 9
_MOST_BYTES = 1 << 28


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The key-value pairs at the beginning of a GGUF file.

    Raises:
        ConfigurationError: it is no GGUF file of version 2 or 3, or is cut short.
    """
    try:
        with Path(path).open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ValueError("it does not begin with GGUF")
            version, _, pairs = struct.unpack("<IQQ", file.read(20))
            if version not in (2, 3):
                raise ValueError(f"its version is {version}, not 2 or 3")
            return {_text(file): _value(file, *struct.unpack("<I", file.read(4))) for _ in range(pairs)}
    except (ValueError, struct.error, KeyError, OSError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as a GGUF file ({error}): fetch it again, or name another."
        ) from error


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MOST_BYTES:
        raise ValueError("a text in it is longer than 256 MiB")
    content = file.read(length)
    if len(content) < length:
        raise ValueError("it is cut short")
    return content.decode(errors="replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _TEXT:
        return _text(file)
    if kind == _LIST:
        inner, length = struct.unpack("<IQ", file.read(12))
        if length > _MOST_BYTES:
            raise ValueError("a list in it is longer than its file")
        if inner in (_TEXT, _LIST):
            return [_value(file, inner) for _ in range(length)]
        form = f"<{length}{_FORMS[inner][1]}"
        return list(struct.unpack(form, file.read(struct.calcsize(form))))
    return struct.unpack(_FORMS[kind], file.read(struct.calcsize(_FORMS[kind])))[0]
