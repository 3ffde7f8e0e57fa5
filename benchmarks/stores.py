"""What it costs to put and announce a record: CPU and wall time, for a directory and for S3 with SQS.

The services are played by a server in another process that answers at once, so that what is counted is
ours and botocore's; `--delay` adds the way to AWS and back. The sink is handed all records at once.

    python benchmarks/stores.py [--records N] [--rounds N] [--delay SECONDS]
"""

import argparse
import hashlib
import multiprocessing
import os
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agentcore_rl.sink import Sink
from agentcore_rl.stores import Notice
from agentcore_rl.stores.places import open_notices, open_store

CONTENT = b"x" * 20_000
QUEUE = "/123456789012/queue"


class Instant(socketserver.StreamRequestHandler):
    """Says yes to every request."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Read a request, answer it, and again."""
        while first := self.rfile.readline():
            headers: dict[bytes, bytes] = {}
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                headers[name.lower()] = value.strip()
            if headers.get(b"expect"):
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self.rfile.read(int(headers.get(b"content-length", b"0")))
            time.sleep(self.server.delay_s)  # type: ignore[attr-defined]
            answer = b"" if first.startswith(b"PUT") else said(body)
            self.wfile.write(
                b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: %d\r\n\r\n' % len(answer) + answer
            )


def said(body: bytes) -> bytes:
    """What SQS answers to a message; botocore compares the digest."""
    import json

    digest = hashlib.md5(json.loads(body)["MessageBody"].encode()).hexdigest()
    return json.dumps({"MessageId": "1", "MD5OfMessageBody": digest}).encode()


def serve(pipe: Any, delay_s: float) -> None:
    """The server, in a process of its own."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    socketserver.ThreadingTCPServer.request_queue_size = 128
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Instant) as server:
        server.delay_s = delay_s  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pipe.send(server.server_address[1])
        pipe.recv()


def notice(name: str) -> Notice:
    """The notice of a record."""
    return Notice("run", name, 0, 0, "s", f"run/{name}.0/s.json", len(CONTENT), "0" * 64, "succeeded", 1.0)


def direct(location: str, records: int, threads: int) -> Callable[[str], None]:
    """Put and announce so many records in so many threads."""

    def one(name: str) -> None:
        # Opened for each record, as the sink does.
        channel = open_notices(location, run="run")
        assert channel is not None
        assert open_store(location).put_if_absent(notice(name).key, CONTENT)
        channel.send(notice(name))

    def work(round_: str) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, [f"{round_}-{number}" for number in range(records)]))

    return work


def through_the_sink(location: str, records: int) -> Callable[[str], None]:
    """Hand so many records to a sink and wait until all are delivered."""

    def work(round_: str) -> None:
        with tempfile.TemporaryDirectory() as spool:
            sink = Sink(spool)
            for number in range(records):
                announced = notice(f"{round_}-{number}")
                sink.accept(CONTENT, key=announced.key, location=location, notice=announced)
            assert sink.close(600)

    return work


def least(work: Callable[[str], None], records: int, rounds: int, label: str) -> tuple[float, float]:
    """CPU milliseconds and wall milliseconds per record, the least of the rounds."""
    work(f"{label}-warm")
    spent = []
    for number in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work(f"{label}-{number}")
        spent.append(((time.process_time() - cpu), (time.perf_counter() - wall)))
    return (
        min(cpu for cpu, _ in spent) * 1000 / records,
        min(wall for _, wall in spent) * 1000 / records,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer of the services")
    asked = parser.parse_args()
    pipe, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, asked.delay), daemon=True
    )
    server.start()
    url = f"http://127.0.0.1:{pipe.recv()}"
    os.environ.update(
        AWS_ENDPOINT_URL=url,
        AWS_REGION="us-west-2",
        AWS_ACCESS_KEY_ID="benchmark",
        AWS_SECRET_ACCESS_KEY="benchmark",
        AWS_EC2_METADATA_DISABLED="true",
        AGENTCORE_RL_QUEUE=url + QUEUE,
    )
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'':34}{'CPU ms':>10}{'wall ms':>10}{'per s':>10}")
        for name, location in (
            ("directory", str(Path(folder) / "store")),
            ("S3 and SQS", "s3://bucket/prefix"),
        ):
            works = {
                f"{name}, {threads} thread{'s' * (threads > 1)}": direct(location, asked.records, threads)
                for threads in (1, 16)
            }
            works[f"{name}, through the sink"] = through_the_sink(location, asked.records)
            for label, work in works.items():
                cpu, wall = least(work, asked.records, asked.rounds, label.replace(" ", "-").replace(",", ""))
                print(f"{label:34}{cpu:10.2f}{wall:10.2f}{1000 / wall:10.0f}")
    pipe.send(None)
    server.join(5)


if __name__ == "__main__":
    main()
