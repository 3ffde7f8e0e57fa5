"""Parquet: whole rollouts and training rows, typed, and read back equal."""

import dataclasses

import pytest
from hypothesis import given, settings

from agentcore_rl.codec import decode_record, encode_record
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.export import Terms, export_run, read_parquet, rows
from agentcore_rl.export.files import WholeFile
from agentcore_rl.export.formats import FORMATS
from made_branches import forked, sessions, stored_run, talk
from made_rollouts import golden_rollout, make_rollout, raw, rollouts

ALL = Terms(include_suspect=True)


def _through(path, name, units):
    convert = FORMATS[name].converter()
    with WholeFile(path, FORMATS[name].schema()) as file:
        for unit in units:
            for entry in convert(unit):
                file.write(entry)
        file.commit()
    return list(read_parquet(path))


def test_rollouts_come_back_equal(tmp_path):
    """The golden record, whose every field has something, odd messages, and records of nothing."""
    odd = make_rollout(
        messages=[raw({"role": "user", "content": "\u2028🙂\x00"}), raw({"a": 1e300})],
        output={"big": 10**40, "rewards": [None]},
    )
    stored = [golden_rollout(), odd, make_rollout(0), forked().rollout()]
    stored = [decode_record(encode_record(one, bucket="", key="k")) for one in stored]
    assert _through(tmp_path / "file.parquet", "parquet", stored) == stored


def test_messages_stay_to_the_byte(tmp_path):
    """Spaces, the order of keys, escapes and the spelling of numbers are those of the wire."""
    import msgspec

    spelled = b'{ "role":"user","content" :"\\u00e9 \\ud83d\\ude42", "n": 1.0e2, "n": 3}'
    first = decode_record(encode_record(make_rollout(), bucket="", key="k"))
    first = dataclasses.replace(first, messages=[msgspec.Raw(spelled), first.messages[1]])
    [back] = _through(tmp_path / "file.parquet", "parquet", [first])
    assert bytes(back.messages[0]) == spelled


@given(rollouts())
@settings(deadline=None, max_examples=15)
def test_any_rollout_comes_back_equal(tmp_path_factory, rollout):
    """Whatever a record may hold."""
    stored = decode_record(encode_record(rollout, bucket="", key="k"))
    assert _through(tmp_path_factory.mktemp("p") / "file", "parquet", [stored]) == [stored]


@given(sessions())
@settings(deadline=None, max_examples=10)
def test_any_rows_come_back_equal(tmp_path_factory, session):
    """Ids, mask, logprobs with their holes, and spans."""
    made = list(rows(session.rollout(), ALL))
    assert _through(tmp_path_factory.mktemp("p") / "file", "parquet-rows", made) == made


def test_rows_of_what_comes_back(tmp_path):
    """Rows made of the rollouts in a file are those that are made of the run."""
    run = stored_run(tmp_path, [talk(2), forked().rollout()])
    export_run(run, to="parquet", out=tmp_path / "r.parquet")
    export_run(run, to="parquet-rows", out=tmp_path / "rows.parquet", include_suspect=True)
    made = list(rows(run, ALL))
    assert list(rows(read_parquet(tmp_path / "r.parquet"), ALL)) == made
    assert list(read_parquet(tmp_path / "rows.parquet")) == made


def test_types(tmp_path):
    """Ids are 32-bit, logprobs may be null, values of any shape are texts."""
    schema = FORMATS["parquet-rows"].schema()
    assert str(schema.field("ids").type) == "list<item: uint32>"
    assert schema.field("logprobs").type.value_field.nullable
    assert str(FORMATS["parquet"].schema().field("output_json").type) == "string"


def test_files_that_are_not_ours(tmp_path):
    """The error says so, for what is no Parquet and for another's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "text").write_text("no")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "theirs")
    for name, said in (
        ("text", "cannot be read"),
        ("theirs", "not written by export"),
        ("none", "cannot be"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            list(read_parquet(tmp_path / name))
