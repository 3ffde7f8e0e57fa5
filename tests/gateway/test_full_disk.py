import contextlib
import os
import subprocess

import pytest

from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.serving import GatewayServer, Options
from gateway_desk import Desk

USER = [{"role": "user", "content": "hello"}]


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _fill(place):
    with (place / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


def test_what_a_full_disk_refuses_did_not_happen(small_disk):
    """Calls, a policy version and a session's end are 503s, and all is as it was; with room they are done."""
    with (
        ScriptedModel(lambda _: Answer("yes " * 400)) as model,
        GatewayServer(Capture(model.base_url), Options(small_disk / "log")) as server,
    ):
        desk = Desk(server, small_disk / "log")
        key = desk.open()
        desk.control("POST", "/policy", {"version": 1})
        assert desk.chat(key, USER)[0] == 200
        _fill(small_disk)
        assert desk.chat(key, USER)[0] == 503
        for version in range(2, 1000):  # the log's last page has room for some small entries
            status, said, _ = desk.send("POST", "/control/policy", {"version": version}, server.admin_key)
            if status != 200:
                break
        assert (status, said["error"]["code"]) == (503, "log_unwritable")
        assert desk.control("GET", "/policy") == {"version": version - 1, "held": False, "inside": 0}
        status, said, _ = desk.send("DELETE", "/control/sessions/r1", None, server.admin_key)
        assert (status, said["error"]["code"]) == (503, "log_unwritable")
        assert desk.control("GET", "/sessions/r1")["closed"] is None
        (small_disk / "filler").unlink()
        assert desk.chat(key, USER)[0] == 200
        assert desk.control("POST", "/policy", {"version": version})["version"] == version
        assert desk.control("DELETE", "/sessions/r1")["closed"] == "revoked"
        assert desk.chat(key, USER)[0] == 401
