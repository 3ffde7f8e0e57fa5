"""Reads Parquet with pyarrow, pandas and DuckDB, spans with OpenTelemetry's types, lines with OpenAI's.

Run by scripts/consumers.sh in an environment with these: check_tables.py FOLDER
"""

import base64
import json
import sys
from importlib.metadata import version
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
from google.protobuf import json_format
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from opentelemetry.proto.trace.v1 import trace_pb2
from pydantic import TypeAdapter


def parquet(folder):
    rollouts, rows = pq.read_table(folder / "parquet.parquet"), pq.read_table(folder / "parquet-rows.parquet")
    frame = pd.read_parquet(folder / "parquet-rows.parquet")
    assert [len(ids) for ids in frame["ids"]] == [len(mask) for mask in frame["mask"]]
    asked = duckdb.sql(
        f"select count(*), sum(len(t.tokens.answer)) from (select unnest(p.turns) t from "
        f"(select unnest(trajectories) p from '{folder / 'parquet.parquet'}'))"
    ).fetchall()[0]
    sampled = sum(sum(mask) for mask in rows["mask"].to_pylist())
    assert asked[1] >= sampled > 0
    return (
        f"pyarrow {version('pyarrow')}, pandas {pd.__version__}, duckdb {duckdb.__version__}: "
        f"{rollouts.num_rows} rollouts, {asked[0]} turns, {rows.num_rows} rows"
    )


def spans(folder):
    count = 0
    for line in (folder / "otel.jsonl").read_text().splitlines():
        value = json.loads(line)
        for span in value["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            for name in ("traceId", "spanId", "parentSpanId"):
                if name in span:  # OTLP/JSON has hexadecimal where protobuf's own JSON has base 64
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
            count += 1
        data = json_format.ParseDict(value, trace_pb2.TracesData())
        assert data.resource_spans[0].scope_spans[0].spans
    return f"opentelemetry-proto {version('opentelemetry-proto')}: {count} spans"


def conversations(folder):
    lines = [json.loads(line) for line in (folder / "openai.jsonl").read_text().splitlines()]
    for line in lines:
        TypeAdapter(list[ChatCompletionMessageParam]).validate_python(line["messages"])
        TypeAdapter(list[ChatCompletionToolParam]).validate_python(line.get("tools", []))
    return f"openai {version('openai')}: {len(lines)} conversations"


def main():
    folder = Path(sys.argv[1])
    print("; ".join((parquet(folder), spans(folder), conversations(folder))))


main()
