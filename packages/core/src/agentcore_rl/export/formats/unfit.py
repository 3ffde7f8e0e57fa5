"""What a consumer could not take."""

from __future__ import annotations

from agentcore_rl.export.conversations import Conversation

__all__ = ["Unfit", "refuse_untrained"]


class Unfit(Exception):
    """A row or a conversation that the consumer would refuse; it is left out and counted.

    Attributes:
        reason: a short stable name.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refuse_untrained(conversation: Conversation) -> None:
    """For consumers that train every assistant message of a conversation and have no mask for one.

    Raises:
        Unfit: a message of the assistant was not sampled here (the prompt brought it), or it trains in
            another branch already, or is cut.
    """
    for at, message in enumerate(conversation.messages):
        if message.get("role") == "assistant" and at not in conversation.trained:
            known = at in conversation.answers
            raise Unfit("answer_trains_elsewhere" if known else "assistant_message_not_sampled")
