"""Which import left a thread behind."""

import json
import socket
import subprocess
import sys


def _causes(app):
    """What the module says of an app file."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-P", "-m", "agentcore_rl.local_runtime.threads"]
        subprocess.run([*command, str(theirs.fileno()), str(app)], pass_fds=[theirs.fileno()], check=True)
        return json.loads(ours.recv(65536))["threads_of"]


def test_a_line_of_python_is_named(tmp_path):
    """Also where a pool started the thread, or `_thread` itself; the first three are enough."""
    (tmp_path / "pool.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\nPOOL = ThreadPoolExecutor(1)\n"
        "POOL.submit(print)\n"
    )
    app = tmp_path / "an_app.py"
    app.write_text(
        "import _thread, threading, time\n_thread.start_new_thread(time.sleep, (600,))\nimport pool\n"
        "for _ in range(9):\n    threading.Timer(600, print).start()\n"
    )
    assert _causes(app) == ["an_app, line 2", "pool, line 3", "an_app, line 5"]


def test_native_code_is_put_down_to_an_import(tmp_path):
    """A thread that Python did not start is told by the module that was imported when it appeared."""
    (tmp_path / "native.py").write_text(
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        "thread, pause = ctypes.c_ulong(), ctypes.cast(libc.pause, ctypes.c_void_p)\n"
        "assert not libc.pthread_create(ctypes.byref(thread), None, pause, None)\n"
    )
    app = tmp_path / "an_app.py"
    app.write_text("import native\nimport wave\n")
    assert _causes(app) == ["native code in native"]
