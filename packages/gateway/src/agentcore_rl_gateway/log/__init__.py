"""The gateway's log: every call before its answer's last byte leaves, kept over a crash."""

from agentcore_rl_gateway.log.call_log import CallLog, Place, read_log
from agentcore_rl_gateway.log.entries import (
    CallAnswered,
    CallFailed,
    Entry,
    PolicySet,
    Recovered,
    SessionClosed,
    SessionOpened,
    Undelivered,
)

__all__ = [
    "CallAnswered",
    "CallFailed",
    "CallLog",
    "Entry",
    "Place",
    "PolicySet",
    "Recovered",
    "SessionClosed",
    "SessionOpened",
    "Undelivered",
    "read_log",
]
