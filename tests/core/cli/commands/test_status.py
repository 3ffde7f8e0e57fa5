"""`agentcore-rl status`: where a run stands, while it goes on and afterwards."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentcore_rl.testing import Answer, ScriptedModel
from json_schemas import valid

SCRIPT = Path(sys.executable).with_name("agentcore-rl")


def started(*words: str, stderr: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    """The real command, whose lines can be read as they come."""
    return subprocess.Popen([SCRIPT, *words], stdout=subprocess.PIPE, stderr=stderr, text=True)


class Held:
    """A model that answers when it is let, and the run that asks it, in a process of its own."""

    def __init__(self, app: str, tasks: str) -> None:
        self._words = ("run", app, "--tasks", tasks, "--run", "mine")
        self._asked, self._go_on = threading.Event(), threading.Event()
        self._model = ScriptedModel(self._answer)

    def _answer(self, called: object) -> Answer:
        self._asked.set()
        assert self._go_on.wait(60)
        return Answer("it is 4")

    def __enter__(self) -> "Held":
        self._model.__enter__()
        words = (*self._words, "--model", self._model.base_url)
        self.run = subprocess.Popen([SCRIPT, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not self._asked.wait(60):
            self.__exit__()
            raise AssertionError("the run has not asked its model")
        return self

    def finish(self) -> int:
        """Let it answer; the exit code of the run."""
        self._go_on.set()
        return self.run.wait()

    def __exit__(self, *raised: object) -> None:
        self.finish()
        self._model.__exit__(None, None, None)


def test_a_run_is_followed_to_its_end(call, app, tasks):
    """--follow prints a line at once and for each change, from another process, and ends with the run."""
    with (
        Held(app, tasks("one", "two")) as held,
        started("status", "mine", "--follow", "--json") as json_lines,
        started("status", "last", "--follow") as lines,
    ):
        first, plain = json_lines.stdout.readline(), lines.stdout.readline()
        [now] = valid("status", call("status", "mine", "--once", "--json")[1])
        assert held.finish() == 0
        rest, more = json_lines.communicate()[0], lines.communicate()[0]
    told = valid("status", first + rest)
    assert [told[0]["state"], now["state"], told[-1]["state"]] == ["running", "running", "done"]
    assert told[-1]["mean_reward"] == 1.0
    assert plain.startswith("0 of 2 done, ")
    assert "2 of 2 done, 0 running, reward 1.00" in more
    assert "run        mine, done" in more
    assert (json_lines.returncode, lines.returncode) == (0, 0)


def test_ctrl_c_ends_the_looking_and_not_the_run(app, tasks):
    """It is 130 without a traceback; the run goes on and ends well."""
    with (
        Held(app, tasks("one")) as held,
        started("status", "mine", "--follow", stderr=subprocess.PIPE) as looking,
    ):
        assert looking.stdout.readline().startswith("0 of 1 done")
        looking.send_signal(signal.SIGINT)
        assert looking.communicate()[1] == ""
        assert looking.returncode == 130
        assert held.finish() == 0


def test_a_run_that_failed_is_code_1(call, app, tasks):
    """Failures are counted by kind; the table is for people."""
    with ScriptedModel(lambda called: Answer("it is 4")) as model:
        call("run", app, "--tasks", tasks("one", "break"), "--run", "mine", "--model", model.base_url)
    code, out, err = call("status", "mine")
    assert (code, err) == (1, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (lines["run"], lines["submitted"], lines["done"]) == ("mine, done", "2 of 2", "2 (100%)")
    assert "failed, agent  1" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "rollouts/run has no journal: no client has begun a run in it"),
        (["nope"], "There is no run 'nope'"),
        ([], "The following arguments are required: RUN"),
        (["run", "--once", "--follow"], "--once and --follow exclude each other"),
        (["s3://bucket/run"], "give that folder, or its id"),
    ],
)
def test_wrong_arguments_are_one_sentence(call, stored, words, said):
    """Code 2, and nothing on stdout."""
    code, out, err = call("status", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
