"""Whether a tool call's arguments satisfy the JSON schema of their tool; safe, whatever either of them is."""

from agentcore_rl.read.json_schema.judgement import verdict
from agentcore_rl.read.json_schema.schema import Schema

__all__ = ["Schema", "verdict"]
