import asyncio
import gzip
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore_rl_gateway.http.answering import AnswerBroken, AnswerSilent
from agentcore_rl_gateway.http.client import Client, Unreachable
from raw_server import END, RESET, RawServer

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def _client(server: RawServer, **fields: float) -> Client:
    return Client(server.url, {"X-Of": "ours"}, silence_s=fields.get("silence_s", 10.0))


async def _read(client: Client, method: str = "POST", body: bytes | None = b"{}") -> tuple[int, bytes]:
    async with client.request(method, "/v1/x", body) as answer:
        return answer.status, await answer.read()


FORMS = {
    "sized": SIZED,
    "chunked": CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "chunks with extensions and trailers": CHUNKED
    + b'2;a=b\r\nhe\r\n3;c="d;e"\r\nllo\r\n0;z\r\nX-Sum: 1\r\n\r\n',
    "behind interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    + SIZED,
    "other case and blanks": OK + b"CONTENT-length:   5\r\nX:\r\n\r\nhello",
}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 120), max_size=6))
def test_an_answer_is_read_however_it_is_cut(form, cuts):
    """Head, body and the end of each arrive in pieces of any size, and the connection is used again."""
    content = FORMS[form]
    places = sorted({0, len(content), *(cut % len(content) for cut in cuts)})
    parts = [content[first:last] for first, last in pairwise(places)]

    async def run() -> None:
        async with RawServer(parts) as server:
            client = _client(server)
            assert [await _read(client) for _ in range(3)] == [(200, b"hello")] * 3
            assert server.connections == 1
            assert server.seen[0].startswith(b"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1")
            assert server.seen[0].endswith(b"X-Of: ours\r\nContent-Length: 2\r\n\r\n{}")
            await client.close()

    asyncio.run(run())


async def test_an_answer_may_end_with_its_connection():
    """Without a length the end of the connection is the end; the next request has another connection."""
    async with RawServer([OK + b"\r\nhel", b"lo", END]) as server:
        client = _client(server)
        assert [await _read(client) for _ in range(2)] == [(200, b"hello")] * 2
        assert server.connections == 2
        await client.close()


BROKEN = {
    "half a head": [OK, END],
    "half a body": [OK + b"Content-Length: 9\r\n\r\nhello", END],
    "half a chunk": [CHUNKED + b"9\r\nhello", END],
    "no last chunk": [CHUNKED + b"5\r\nhello\r\n", END],
    "a chunk without a size": [CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n"],
    "two lengths": [OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"],
    "a length and chunks": [
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    ],
    "no HTTP": [b"SSH-2.0-OpenSSH_9.6\r\n"],
    "another protocol": [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", END],
    "an endless head": [OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n"],
    "a header without an end": [OK + b"X: " + b"y" * 40_000, b"y" * 400_000],
    "nothing": [END],
    "a reset": [OK, RESET],
    "a coding that nobody asked for": [OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx"],
    "no gzip": [OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"],
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_is_no_whole_answer_is_said(kind):
    """A broken answer is an error, never a short one, and nothing is sent twice; the next call goes on."""
    async with RawServer(BROKEN[kind], [SIZED]) as server:
        client = _client(server)
        with pytest.raises(AnswerBroken):
            async with asyncio.timeout(10):
                await _read(client)
        assert len(server.seen) == 1
        assert await _read(client) == (200, b"hello")
        await client.close()


async def test_bytes_that_nobody_asked_for_reach_no_other_call():
    """A second answer in the same packet, or behind the first, is dropped with its connection."""
    forged = OK + b"Content-Length: 6\r\n\r\nforged"
    async with RawServer(
        [SIZED + forged], [SIZED, forged], [SIZED + b"garbage"], [SIZED], pause_s=0.05
    ) as server:
        client = _client(server)
        for _ in range(4):
            assert await _read(client) == (200, b"hello")
            await asyncio.sleep(0.1)
        assert server.connections == 4
        await client.close()


async def test_a_connection_that_says_so_is_not_used_again():
    """`Connection: close` and HTTP/1.0 are kept to."""
    closing = OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"
    old = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    async with RawServer([closing], [old], [SIZED]) as server:
        client = _client(server)
        for _ in range(3):
            assert await _read(client) == (200, b"hello")
        assert server.connections == 3
        await client.close()


async def test_idle_connections_are_given_up_by_us():
    """A connection that was idle for two seconds is closed; no request meets a server that closes it."""
    async with RawServer([SIZED]) as server:
        client = _client(server)
        await _read(client)
        await asyncio.sleep(2.3)
        assert server.cut == 1
        await _read(client)
        assert server.connections == 2
        await client.close()


async def test_a_get_goes_on_where_its_connection_was_closed():
    """A server that closed an idle connection is asked again by GET alone, which does nothing."""
    async with RawServer([SIZED], [END], [SIZED], [END]) as server:
        client = _client(server)
        await _read(client)
        assert await _read(client, "GET", None) == (200, b"hello")
        with pytest.raises(AnswerBroken):
            await _read(client)
        await client.close()


async def test_a_silent_server_is_lost():
    """Seconds without a byte end a call, at its head and in its body; bytes that drip do not."""
    drip = [OK + b"Content-Length: 8\r\n\r\n", *[b"x"] * 8]
    async with RawServer(drip, [OK + b"Content-Length: 5\r\n\r\nh"], [b""], pause_s=0.1) as server:
        client = _client(server, silence_s=0.5)
        assert await _read(client) == (200, b"x" * 8)
        for _ in range(2):
            with pytest.raises(AnswerSilent):
                async with asyncio.timeout(10):
                    await _read(client)
        await client.close()


async def test_whoever_leaves_cuts_the_call_off():
    """A call that is cancelled ends its connection, so that the server stops; others go on."""
    async with RawServer([OK + b"Content-Length: 5\r\n\r\nh"], [SIZED]) as server:
        client = _client(server)
        task = asyncio.create_task(_read(client))
        await _until(lambda: server.seen)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _until(lambda: server.cut)
        assert await _read(client) == (200, b"hello")
        await client.close()


async def test_pieces_come_as_they_are_sent():
    """A stream is given in pieces; what came before it broke is given too."""
    async with RawServer([CHUNKED + b"1\r\na\r\n", b"1\r\nb\r\n", END], pause_s=0.05) as server:
        client = _client(server)
        got = []

        async def read() -> None:
            async with client.request("GET", "/") as answer:
                async for piece in answer.pieces():
                    got.append(piece)  # noqa: PERF401 - what came before the error counts

        with pytest.raises(AnswerBroken):
            await read()
        assert got == [b"a", b"b"]
        await client.close()


async def test_a_slow_reader_makes_the_server_wait():
    """Of a stream that is not read, no more is held than its bound; all of it comes when it is."""
    many = 24 * 2**20
    async with RawServer([OK + b"Content-Length: %d\r\n\r\n" % many, *[b"x" * 2**20] * 24]) as server:
        client = _client(server)
        async with client.request("GET", "/") as answer:
            await asyncio.sleep(0.3)
            assert answer.held < 6 * 2**20
            assert sum([len(piece) async for piece in answer.pieces()]) == many
        await client.close()


async def test_a_large_body_is_sent_whole_and_an_early_answer_ends_it():
    """A body of many parts arrives; a server that refuses it without reading is heard."""
    body = bytes(range(256)) * 20_000
    async with RawServer([SIZED]) as server:
        client = _client(server)
        assert await _read(client, body=body) == (200, b"hello")
        assert server.seen[0].endswith(body)
        await client.close()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read(100_000_000)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listening:
        client = Client(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", {}, silence_s=10)
        async with asyncio.timeout(10):
            assert await _read(client, body=b"x" * 60_000_000) == (413, b"no")
        await client.close()


async def test_a_coded_answer_is_decoded():
    """A server that compresses although it was not asked to is understood."""
    content = gzip.compress(b"hello " * 100)
    async with RawServer(
        [OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content]
    ) as server:
        client = _client(server)
        assert await _read(client) == (200, b"hello " * 100)
        await client.close()


async def test_a_server_that_is_not_there():
    """No connection: said as such, whatever the reason."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://no-such-host.invalid"):
        with pytest.raises(Unreachable):
            await _read(Client(url, {}, silence_s=10))


async def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Over TLS a certificate that nobody vouches for is refused, and one that is trusted is taken."""
    place = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place)
    async with RawServer([CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"], tls=context) as server:
        with pytest.raises(Unreachable, match="certificate"):
            await _read(_client(server))
        monkeypatch.setenv("SSL_CERT_FILE", str(place))
        client = _client(server)
        assert [await _read(client) for _ in range(2)] == [(200, b"hello")] * 2
        assert server.connections == 1
        await client.close()


def _certificate(folder: Path) -> Path:
    """Of 127.0.0.1, signed by itself, with its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    kept = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    place = folder / "server.pem"
    place.write_bytes(key.private_bytes(pem, *kept) + signed.public_bytes(pem))
    return place


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of sockets there is no event
            await asyncio.sleep(0.01)
