"""Decoders can be asked for by any number of threads at once."""

import subprocess
import sys

ALL_AT_ONCE = """
import sys, threading
from agentcore_rl.codec import decode_record
from agentcore_rl.exceptions import RecordUnreadable

content, gate, said = sys.stdin.buffer.read(), threading.Barrier(16), []

def read():
    gate.wait()
    said.append(decode_record(content).task)

threads = [threading.Thread(target=read) for _ in range(16)]
sys.setswitchinterval(1e-6)
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(said))
"""


def test_the_first_records_may_be_read_by_many_threads_at_once():
    """In a fresh process, where no type has been inspected: it neither crashes nor raises."""
    from agentcore_rl.codec import encode_record
    from inprocess_launcher import key_of, make_attempt

    record = make_attempt("r", "a", session="s")
    content = encode_record(record, bucket="", key=key_of(record))
    for _ in range(4):
        ended = subprocess.run(
            [sys.executable, "-c", ALL_AT_ONCE], input=content, capture_output=True, check=False, timeout=50
        )
        assert (ended.returncode, ended.stdout.strip()) == (0, b"16"), ended.stderr.decode()
