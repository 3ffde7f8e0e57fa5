"""Frames of the call log: a length, a checksum, a payload. No meaning here.

    frame = u32 length of payload | u32 crc32 of payload | payload        (little-endian)

A file begins with `MAGIC`. Whatever does not read as a whole frame at the end of the last file is a tail
that a crash tore, and is cut off when the log is opened.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from agentcore_rl.exceptions import ConfigurationError

__all__ = ["LARGEST", "MAGIC", "frame", "read_frame", "scan"]

MAGIC = b"ARLGW1\r\n"
"""What a file of the log begins with."""
_HEAD = struct.Struct("<II")
LARGEST = 256 * 2**20
"""Bytes of a payload at most; a length above it is damage, not a frame."""


def frame(payload: bytes) -> bytes:
    """The payload as it stands in a file."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def scan(content: memoryview, start: int = len(MAGIC)) -> Iterator[tuple[int, bytes]]:
    """Each whole frame's offset and payload, up to the first that is torn or damaged."""
    at, size = start, len(content)
    while at + _HEAD.size <= size:
        length, checksum = _HEAD.unpack_from(content, at)
        end = at + _HEAD.size + length
        if not 0 < length <= LARGEST or end > size:  # a disk may leave a tail of zeros
            return
        payload = bytes(content[at + _HEAD.size : end])
        if zlib.crc32(payload) != checksum:
            return
        yield at, payload
        at = end


def read_frame(content: bytes) -> bytes:
    """The payload of one frame that was written earlier.

    Raises:
        ConfigurationError: the file has been damaged since.
    """
    length, checksum = _HEAD.unpack_from(content)
    payload = content[_HEAD.size : _HEAD.size + length]
    if len(payload) != length or zlib.crc32(payload) != checksum:
        raise ConfigurationError("The gateway's log is damaged: a frame that was whole is not any more.")
    return payload
