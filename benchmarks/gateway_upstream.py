"""What stands behind the gateways of `gateway.py`: a server that plays vLLM, and beside them a TCP relay."""

import asyncio
import contextlib
import json
import random
import sys

SAMPLED = 128


def upstream(port: int) -> None:
    """Answers at once, as vLLM shapes it: chat completions with ids, and its token-level route."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                content = (generated if b"/inference/v1/generate" in head[:60] else answers)(body)
                start = f"HTTP/1.1 200 OK\r\ncontent-length: {len(content)}\r\n"
                start += "content-type: application/json\r\n\r\n"
                writer.write(start.encode() + content)
                await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", port, limit=2**24)
        async with server:
            await server.serve_forever()

    prompts: dict[int, bytes] = {}
    chance = random.Random(1)
    ids = [chance.randrange(1_000, 40_000) for _ in range(SAMPLED)]
    entries = [
        {"token": f"tok{one}", "logprob": -chance.random(), "bytes": [116, 111, 107], "top_logprobs": []}
        for one in ids
    ]
    counter = iter(range(10**9))

    def answers(body: bytes) -> bytes:
        if b'max_tokens":1,' in body or b'"max_tokens":1}' in body or len(body) < 300:
            tokens = 8
        else:
            tokens = len(body) // 4
        near = tokens // 128 * 128
        if near not in prompts:
            same = random.Random(2)
            prompts[near] = ",".join(str(same.randrange(50_000)) for _ in range(near)).encode()
        said = {
            "id": f"chatcmpl-{next(counter)}",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "word " * SAMPLED},
                    "finish_reason": "stop",
                    "logprobs": {"content": entries},
                    "token_ids": ids,
                }
            ],
            "usage": {"prompt_tokens": near, "completion_tokens": SAMPLED, "total_tokens": near + SAMPLED},
        }
        text = json.dumps(said, separators=(",", ":")).encode()
        return text[:-1] + b',"prompt_token_ids":[' + prompts[near] + b"]}"

    def generated(_: bytes) -> bytes:
        mine = [chance.randrange(1_000, 40_000) for _ in range(SAMPLED)]  # so that no two answers are alike
        said = [{"token": f"token_id:{one}", "logprob": -chance.random()} for one in mine]
        choice = {"index": 0, "token_ids": mine, "finish_reason": "length", "logprobs": {"content": said}}
        return json.dumps({"request_id": "r", "choices": [choice]}, separators=(",", ":")).encode()

    asyncio.run(run())


def relay(upstream_port: int, port: int) -> None:
    """The floor: bytes from one socket into another."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while content := await reader.read(262_144):
                writer.write(content)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream_port, limit=2**20)
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", port, limit=2**20)
        async with server:
            await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    if sys.argv[1] == "upstream":
        upstream(int(sys.argv[2]))
    else:
        relay(int(sys.argv[2]), int(sys.argv[3]))
