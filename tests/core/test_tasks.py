"""Task files are read as they are meant, and refused with the place and the reason."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.exceptions import ConfigurationError, TaskFileError
from agentcore_rl.tasks import digest, read_tasks, task_from_payload


def write(tmp_path: Path, content: str | bytes) -> Path:
    """A task file with this content."""
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_each_line_is_a_task(tmp_path):
    """The object is the payload, id included; blank lines, CRLF and a byte order mark do not matter."""
    path = write(tmp_path, '\ufeff{"id": "a", "prompt": "é"}\r\n\n   \n{"id": 7, "prompt": "b"}')
    tasks = read_tasks(path)
    assert [task.id for task in tasks] == ["a", "7"]
    assert [task.payload for task in tasks] == [{"id": "a", "prompt": "é"}, {"id": 7, "prompt": "b"}]


def test_a_task_without_id_has_a_stable_one(tmp_path):
    """It depends on the object alone, not on spacing or the order of keys; the payload stays as it is."""
    first, second = read_tasks(write(tmp_path, '{"a": 1, "b": [2, "é"]}\n{"b":[2,"é"],"a":2}'))
    assert first.id == task_from_payload({"b": [2, "é"], "a": 1}).id == "992f8d0a5d6192a6"
    assert first.id != second.id
    assert "id" not in first.payload


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"[1]", "a task is a JSON object, not a list"),
        (b'"text"', "not a string"),
        (b"null", "not null"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": 1e999}', "not JSON"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"id": ""}', "1 to 128 characters"),
        (b'{"id": "a/b"}', "cannot be used"),
        (b'{"id": "a..b"}', "'..'"),
        (b'{"id": "a."}', "cannot end with '.'"),
        (b'{"id": "' + b"a" * 129 + b'"}', "1 to 128 characters"),
        (b'{"id": "\xc3\xa9"}', "1 to 128 characters"),
        (b'{"id": true}', "'id' must be a string, not true or false"),
        (b'{"id": 1.5}', "'id' must be a string, not a number"),
        (b'{"_rollout": {}}', "'_rollout'"),
        (b'{"_training": {}}', "'_training'"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, reason):
    """File, line number and reason, in one sentence."""
    path = write(tmp_path, b'{"id": "good"}\n\n' + line + b"\n")
    with pytest.raises(TaskFileError) as caught:
        read_tasks(path)
    text = str(caught.value)
    assert text.startswith(f"{path}, line 3: ")
    assert reason in text
    assert len(text) < 400


def test_an_id_stands_once(tmp_path):
    """Both lines are named, whether the id was written or made."""
    with pytest.raises(TaskFileError, match=r"line 3: the id 'x' stands in line 1 already"):
        read_tasks(write(tmp_path, '{"id": "x"}\n\n{"id": "x", "a": 1}'))
    with pytest.raises(TaskFileError, match=r"line 2: .* stands in line 1 already \(the two lines are equal"):
        read_tasks(write(tmp_path, '{"a": 1}\n{"a": 1}'))


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    """Missing, empty and unreadable files are one sentence each."""
    with pytest.raises(TaskFileError, match="There is no task file"):
        read_tasks(tmp_path / "none.jsonl")
    with pytest.raises(TaskFileError, match="holds no task"):
        read_tasks(write(tmp_path, "\n \n"))
    with pytest.raises(TaskFileError, match="cannot be read"):
        read_tasks(tmp_path)


def test_the_digest_says_whether_tasks_are_the_same():
    """Ids, payloads and order count."""
    one, two = task_from_payload({"id": "1"}), task_from_payload({"id": "2"})
    assert digest([one, two]) == digest([one, two])
    assert len({digest([one]), digest([one, two]), digest([two, one]), digest([])}) == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_json_object_becomes_a_task_or_a_sentence(payload):
    """What is read back from its own JSON is the same task."""
    try:
        task = task_from_payload(payload)
    except ConfigurationError:
        return
    assert task_from_payload(json.loads(json.dumps(payload))).id == task.id
