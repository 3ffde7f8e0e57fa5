"""A run written in every format: what is in the file, what is not, and why; whole files or none."""

import dataclasses
import json
import os
import sys

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.export import FORMATS, Account, export_run, read_parquet
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind, Status
from made_branches import forked, stored_run, talk, without_ids
from made_rollouts import golden_rollout, make_rollout

BROKEN = Failure(FailureKind.AGENT, "it broke")
DEAD = Failure(FailureKind.RUNTIME, "the session died")


def _mixed():
    """One rollout of each kind; three that judge one task."""
    return [
        talk(2, reward=Reward(1.0)),
        talk(1, reward=Reward(0.0)),
        forked().rollout(reward=Reward(0.5)),
        talk(1, reward=None),
        talk(1, reward=None, status=Status.FAILED, failure=BROKEN),
        talk(1, reward=None, status=Status.FAILED, failure=DEAD),
        without_ids(talk(1)),
        make_rollout(0),
    ]


@pytest.fixture
def mixed(tmp_path):
    """A run of these."""
    return stored_run(tmp_path / "store", _mixed())


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_and_what_became_of_the_rest(mixed, tmp_path):
    """Suspect rollouts are written masked, those without reward or ids left out; every token is counted."""
    done = export_run(mixed, to="trl-rollout", out=tmp_path / "out.jsonl")
    lines = _lines(done.path)
    assert [line["masked"] for line in lines] == [None, None, *["suspect"] * 4]
    assert (done.rollouts, done.exported, done.entries, done.masked) == (8, 3, 6, {"suspect": 1})
    assert done.left_out == {
        "no_reward": 1,
        "agent_failure": 1,
        "infrastructure_failure": 1,
        "no_token_ids": 1,
        "no_turn": 1,
    }
    masked = {"suspect": 8, "no_reward": 3, "agent_failure": 3, "infrastructure_failure": 3}
    assert done.account == Account(26, 9, masked, without_ids=1)
    assert done.account.trained == sum(sum(line["env_mask"]) for line in lines)
    assert done.size == done.path.stat().st_size


def test_terms(mixed, tmp_path):
    """Suspect rollouts train when asked for; a reward for what the agent failed makes it train too."""
    done = export_run(mixed, to="verl", out=tmp_path / "out", include_suspect=True, failed_reward=-1.0)
    assert done.masked == {}
    assert done.account.trained == 9 + 8 + 3
    assert [line["reward_score"] for line in _lines(done.path)][-1] == -1.0


def test_conversations_have_no_mask(mixed, tmp_path):
    """What must not train is left out of them, with its reason; ids are not needed, nor a reward."""
    done = export_run(mixed, to="openai", out=tmp_path / "out")
    assert (done.entries, done.account) == (4, None)
    assert done.left_out == {"suspect": 1, "agent_failure": 1, "infrastructure_failure": 1, "no_turn": 1}
    assert done.notes == ("OpenAI wants at least 10 examples, and these are 4.",)


def test_branches_that_do_not_fit(tmp_path):
    """A rollout with one branch that fits and one that does not is in the file, and the other is counted."""
    run = stored_run(tmp_path, [forked().rollout(suspect=[])])
    done = export_run(run, to="trl", out=tmp_path / "out")
    assert (done.exported, done.entries, done.unfit) == (1, 2, {"answer_trains_elsewhere": 1})


def test_archives_hold_everything(mixed, tmp_path):
    """Whatever may train."""
    done = export_run(mixed, to="parquet", out=tmp_path / "out.parquet")
    assert (done.entries, done.left_out) == (8, {})
    assert list(read_parquet(done.path)) == list(mixed.rollouts)
    assert export_run(mixed, to="otel", out=tmp_path / "out.jsonl").entries == 8


def test_prompts_are_written_once_for_each_task(mixed, tmp_path):
    """The others are counted."""
    done = export_run(mixed, to="verl-prompts", out=tmp_path / "out.parquet")
    assert (done.entries, done.left_out) == (1, {"task_written_already": 6, "no_turn": 1})


def test_advantages_are_of_the_rollouts_of_a_task(mixed, tmp_path):
    """Reward minus the mean over rollouts, not rows, masked ones included; TRL's on request."""
    done = export_run(mixed, to="prime-rl", out=tmp_path / "out", where=["turns>0"])
    rewards = [1.0, 0.0, 0.5, 1.0]  # the last has no ids, and was judged all the same
    mean = sum(rewards) / 4
    got = [set(line["sample"]["advantages"]) - {0.0} for line in _lines(done.path)][:2]
    assert got == [{1.0 - mean}, {0.0 - mean}]
    done = export_run(mixed, to="tinker", out=tmp_path / "out", where=["turns>0"], advantages="grpo")
    spread = (sum((one - mean) ** 2 for one in rewards) / 3) ** 0.5 + 1e-4
    found = _lines(done.path)[0]["datum"]["loss_fn_inputs"]["advantages"]["data"]
    assert max(found) == pytest.approx((1.0 - mean) / spread)
    done = export_run(mixed, to="tinker", out=tmp_path / "out", advantages="none")
    assert "advantages" not in _lines(done.path)[0]["datum"]["loss_fn_inputs"]


def test_a_filter(mixed, tmp_path):
    """All conditions must hold; the others are left out and counted."""
    done = export_run(mixed, to="verl", out=tmp_path / "out", where=["reward>0", "suspect=none", "turns=2"])
    assert (done.entries, done.left_out) == (1, {"where": 7})


def test_rollouts_without_a_record(mixed, tmp_path):
    """Those that run.json asked for and that left nothing are counted, and so is what cannot be read."""
    mixed.asked = 10
    damaged = next((tmp_path / "store" / "run" / "task.0").glob("*.json"))
    damaged.write_bytes(b"{")
    done = export_run(mixed, to="verl", out=tmp_path / "out")
    assert (done.rollouts, done.unreadable, done.left_out["no_record"]) == (7, 1, 2)


@pytest.mark.parametrize(
    ("rollouts", "to", "said"),
    [
        ([], "verl", "has no record"),
        ([without_ids(talk(1))], "tinker", "agentcore-rl gateway"),
        ([talk(1, reward=None, status=Status.FAILED, failure=DEAD)], "trl", "infrastructure_failure 1"),
        ([talk(1, reward=None, status=Status.FAILED, failure=BROKEN)], "openai", "agent_failure 1"),
        ([make_rollout(0)], "verl", "no_turn 1"),
    ],
)
def test_nothing_to_write(tmp_path, rollouts, to, said):
    """The error says why and what to do, and there is no file, not even a part of one."""
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigurationError, match=said):
        export_run(stored_run(tmp_path / "store", rollouts), to=to, out=tmp_path / "out" / "file")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("to", ["verl", "parquet"])
def test_a_file_is_whole_or_as_it_was(mixed, tmp_path, to):
    """What breaks off leaves what had been at the place, and nothing beside it."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "file").write_text("before")

    def stop(read, total):
        if read == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_run(mixed, to=to, out=folder / "file", heard=stop)
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("file", "before")]
    export_run(mixed, to=to, out=folder / "file")
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_bytes()[:6] != b"before"


def test_wrong_arguments(mixed, tmp_path):
    """Each is a sentence."""
    with pytest.raises(ConfigurationError, match="did you mean 'verl'"):
        export_run(mixed, to="verll")
    with pytest.raises(ConfigurationError, match="is a folder"):
        export_run(mixed, to="verl", out=tmp_path)
    with pytest.raises(ConfigurationError, match="only rows"):
        export_run(mixed, to="trl", out=tmp_path / "out", advantages="mean")
    (tmp_path / "plain").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        export_run(mixed, to="verl", out=tmp_path / "plain" / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="the disk that is always full is Linux's")
@pytest.mark.parametrize("to", ["verl", "parquet"])
def test_a_full_disk(mixed, tmp_path, to):
    """The error says so; what stood at the place stays, and nothing is left beside it."""
    (tmp_path / "out").write_text("older")
    (tmp_path / f".out.{os.getpid()}.partial").symlink_to("/dev/full")
    with pytest.raises(ConfigurationError, match=r"out cannot be written: No space left"):
        export_run(mixed, to=to, out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "older"
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("to", FORMATS)
def test_odd_rollouts_break_no_format(tmp_path, to):
    """Forks, a sub-agent, text of every kind, a long rollout, several policy versions."""
    text = "\u202e\x00\u2028 🙂 \\ud83d </script> " + "long " * 2000
    (path,) = talk(3).trajectories
    turns = [dataclasses.replace(turn, policy_version=turn.id) for turn in path.turns]
    odd = [
        forked().rollout(),
        talk(40, output=text),
        golden_rollout(),
        dataclasses.replace(talk(3), trajectories=[dataclasses.replace(path, turns=turns)]),
        talk(1, task=".strange=task.", input_id=".strange=task..0", payload={"prompt": text}),
    ]
    done = export_run(
        stored_run(tmp_path / "s", odd), to=to, out=tmp_path / "out", include_suspect=True, where=["turns>0"]
    )
    assert done.entries
    assert json.loads(json.dumps(done.to_dict()))["rollouts"] == 5
