"""What trainers and other tools read, made from records: rows of token ids, conversations, tables, spans."""

from agentcore_rl.export.conversations import Conversation, conversations_of
from agentcore_rl.export.export import Advantages, Exported, export_run
from agentcore_rl.export.formats import FORMATS, Format
from agentcore_rl.export.formats.tables import read_parquet
from agentcore_rl.export.row import Account, Row, Span
from agentcore_rl.export.rows import account_of, rows, rows_of
from agentcore_rl.export.terms import Terms, Verdict, verdict
from agentcore_rl.export.where import Condition

__all__ = [
    "FORMATS",
    "Account",
    "Advantages",
    "Condition",
    "Conversation",
    "Exported",
    "Format",
    "Row",
    "Span",
    "Terms",
    "Verdict",
    "account_of",
    "conversations_of",
    "export_run",
    "read_parquet",
    "rows",
    "rows_of",
    "verdict",
]
