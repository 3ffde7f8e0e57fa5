"""`agentcore-rl demo`: the math agent on two models, side by side."""

import subprocess
import sys
from pathlib import Path

from agentcore_rl.read import mean_interval, read_run, tool_calls
from agentcore_rl.testing import Answer, ScriptedModel, Status
from json_schemas import valid


def recomputed(folder: str) -> dict[str, object]:
    """Every number of a row of the table, counted anew from the records of its run."""
    rollouts = list(read_run(folder).rollouts)
    calls = [call for rollout in rollouts for call in tool_calls(rollout)]
    rewards = [rollout.reward.value for rollout in rollouts if rollout.reward is not None]
    usages = [turn.stored.usage for rollout in rollouts for turn in rollout.turns]
    interval = mean_interval([[reward] for reward in rewards])
    return {
        "rollouts": len(rollouts),
        "mean_reward": sum(rewards) / len(rewards),
        "reward_interval": [interval.low, interval.high] if interval else None,
        "tool_calls": len(calls),
        "well_formed_calls": sum(call.parsed is not None and call.name == "calculator" for call in calls),
        "turns": len(usages),
        "prompt_tokens": sum(usage.prompt_tokens for usage in usages),
        "completion_tokens": sum(usage.completion_tokens for usage in usages),
        "matched": sum(rollout.crosscheck.matched for rollout in rollouts),
        "suspect": sum(bool(rollout.suspect) for rollout in rollouts),
        "failed": {},
        "unrecorded": 0,
    }


def cells(row: dict[str, object]) -> list[str]:
    """What the table shows of these numbers."""
    low, high = row["reward_interval"]
    return [
        str(row["rollouts"]),
        *f"{row['mean_reward']:.2f} [{low:.2f}, {high:.2f}]".split(),
        *f"{row['well_formed_calls']} of {row['tool_calls']}".split(),
        str(row["turns"]),
        f"{row['prompt_tokens'] + row['completion_tokens']:,}",
        *f"{row['matched']} of {row['turns']}".split(),
        str(row["suspect"]),
        "0",
    ]


def test_the_scripted_demo(command, folder):
    """Without a model: the table's numbers are those of the records, and it says that nothing was asked."""
    done = command("demo", "--scripted", "--tasks", "2", "--framework", "strands")
    assert done.returncode == 0, done.stderr
    assert "no model was asked" in done.stdout
    lines = done.stdout.splitlines()
    shown = {words[0]: words[1:] for words in map(str.split, lines[1:3])}
    runs = sorted(Path("rollouts").glob("demo-*"))
    assert [run.name.split("-strands-")[1] for run in runs] == ["scripted", "scripted-tools"]
    for run, model in zip(runs, ("scripted", "scripted-tools"), strict=True):
        assert cells(recomputed(str(run))) == shown[model]
        assert str(run) in done.stdout
    assert shown["scripted"][1] == "0.00"
    assert shown["scripted-tools"][1] == "1.00"
    again = command("show", "last")
    assert again.returncode == 0, again.stderr


def test_the_demo_on_real_models(command, folder):
    """All succeeded, none suspect, the tuned model calls its tool, ids are in the records."""
    done = command("demo", "--tasks", "2", "--framework", "strands", "--json", timeout_s=180)
    assert done.returncode == 0, done.stderr
    *rollouts, last = valid("demo", done.stdout)
    assert len(rollouts) == 4
    for line in rollouts:
        assert line.keys() >= {"id", "framework", "model", "status", "reward", "record"}
        assert (line["framework"], line["status"]) == ("strands", "succeeded")
        assert Path(line["record"]).is_file()
    base, tuned = last["summary"]
    assert (base["model"], tuned["model"]) == ("smollm2", "smollm2-tools")
    for row in (base, tuned):
        numbers = recomputed(row["records"])
        assert row["crosscheck"]["matched"] == numbers.pop("matched")
        assert numbers.items() <= row.items()
        assert row["suspect"] == 0
        for rollout in read_run(row["records"]).rollouts:
            assert rollout.status == "succeeded"
            assert rollout.crosscheck.collected
            assert all(turn.prompt_ids and turn.answer_ids for turn in rollout.turns)
    assert tuned["well_formed_calls"] > base["well_formed_calls"]
    assert (last["done"], last["fetching_s"]) == (True, 0)


def test_a_missing_engine_is_told_before_anything_is_fetched():
    """One sentence with the command that installs it."""
    code = "import sys; sys.modules['xllamacpp'] = None; from agentcore_rl.cli import main; "
    code += "sys.exit(main(['demo']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith('which is not installed: pip install "agentcore-rl[local-model]"\n')


def test_any_endpoint_takes_the_models_place(call, folder):
    """--model URL runs the demo on that model alone; rollouts that fail make the exit code 1."""
    with ScriptedModel(lambda call: Answer("#### 79"), model_id="mine") as model:
        code, out, _ = call("demo", "--tasks", "1", "--model", model.base_url, "--framework", "strands")
        assert code == 0
        assert out.splitlines()[1].split()[:3] == ["mine", "1", "1.00"]
        assert "135 million" not in out
    with ScriptedModel(lambda call: Status(400, "not today"), model_id="mine") as model:
        code, out, _ = call("demo", "--tasks", "1", "--model", model.base_url, "--framework", "strands")
        assert code == 1
        assert "mine: 1 failed, model: " in out
