"""A rollout's conversations as ids: a prompt's parent is found, and only what it adds is rendered.

A client sends its whole conversation with every call, as its framework remembers it. Here each call finds
the turn that it goes on with: by ids that were minted for its answer, else by what it says. Sampled ids are
never made anew from text. What frameworks leave out is restored, since the ids have it, and counted; what a
client really changed forks, with a reason. A pure state machine; one for each session, used by one thread at
a time.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agentcore_rl_gateway.call import GIVEN_UP
from agentcore_rl_gateway.history.forms import form_of, minted_ids, served_form, tools_form
from agentcore_rl_gateway.history.rows import Account, Node, Row, account_of, chain, rows_of
from agentcore_rl_gateway.rendering.messages import with_tool_names
from agentcore_rl_gateway.rendering.renderer import Fork, Renderer

__all__ = ["ForkReason", "History", "Plan"]

ForkReason = Literal[
    "template", "drift", "client_edit", "compaction", "lost_turn", "tools_changed", "ambiguous"
]
"""Why a prompt does not simply go on with what was served.

template: the model's template writes the old differently, or has no form for what follows.
drift: what is made does not begin with what was served.
client_edit: the client changed what was said.
compaction: it made the conversation shorter.
lost_turn: it has an answer that is not here.
tools_changed: other tools are offered.
ambiguous: several answers fit, and none is guessed.
"""

_TAIL = 64
"""Ids of a prompt that a renderer is shown: enough for what opens an answer, however long the history."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A prompt before it is sampled.

    Attributes:
        prompt_ids: all ids of it.
        parent: the turn whose ids it extends; None for a root.
        fork: why it does not simply go on with what was served; None where it does, or is a new
            conversation.
        restored: what the ids have and the messages lacked, by kind.
        newly: of these, what no prompt that was answered before this one lacked.
        added: how many ids at the end are new.
        new: these.
        depth, place, tools: where it stands, for `History.commit`.
        offered: the tools of the request.
    """

    prompt_ids: list[int]
    parent: int | None
    fork: ForkReason | None
    restored: Mapping[str, int]
    newly: Mapping[str, int]
    added: int
    new: array[int] = field(repr=False)
    depth: int = field(repr=False)
    place: int = field(repr=False)
    tools: bytes = field(repr=False)
    offered: Sequence[Mapping[str, Any]] = field(repr=False)
    lacking: Mapping[int, Sequence[str]] = field(repr=False)


@dataclass(slots=True)
class _Walk:
    """Where a prompt's messages led."""

    place: int
    parent: Node | None = None
    behind: int = 0  # messages up to the parent's answer
    reason: ForkReason | None = None
    restored: dict[int, list[str]] = field(default_factory=dict)  # turn -> what its message lacks


class History:
    """The turns of one rollout.

    Args:
        renderer: of the model.

    Attributes:
        forks: prompts that did not go on with what was served, by reason.
        restored: what messages of answered prompts lacked and ids have, by kind; each turn counts once for
            each kind.
        sampled: ids that were sampled.
    """

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self.forks: Counter[str] = Counter()
        self.restored: Counter[str] = Counter()
        self.sampled = 0
        self._nodes: list[Node] = []
        self._steps: dict[tuple[int, bytes], int] = {}  # (place, form) -> place; 0 is before everything
        self._asked: set[int] = set()  # places where a prompt ended
        self._answers: dict[int, list[int]] = {}  # place of a prompt's end -> turns
        self._behind: dict[int, int] = {}  # turn -> place behind its answer
        self._minted: dict[str, int] = {}  # id of ours -> turn
        self._forms: dict[bytes, list[int]] = {}  # form of an answer -> turns
        self._told: set[tuple[int, str]] = set()
        self._places = 0

    def plan(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        parent: int | None = None,
    ) -> Plan:
        """The ids of a prompt, and what it goes on with.

        Args:
            messages: of the prompt.
            tools: that it offers.
            parent: the turn that it is known to go on with, where messages alone might not tell.

        Raises:
            Unrenderable: the model's template has no form for these messages.
        """
        messages = with_tool_names(messages)
        offered = tools_form(tools)
        known = () if parent is None else [node.id for node in chain(self._nodes, parent)]
        walk = self._walk(messages, offered, frozenset(known))
        ids, before_it, reason = self._render(walk, messages, tools)
        new = array("I", ids)
        if before_it is not None:
            before_it.continued = True
            before = len(ids)
            line = chain(self._nodes, before_it.id)
            whole: array[int] = array("I")
            for node in line:
                whole.extend(node.added)
                whole.extend(node.answer)
            ids = [*whole, *ids]
            added = before
        else:
            added = len(ids)
            walk.restored.clear()  # nothing of what was served is in these ids
        self._asked.add(walk.place)
        restored = Counter(kind for kinds in walk.restored.values() for kind in kinds)
        if reason is not None:
            self.forks[reason] += 1
        return Plan(
            ids,
            None if before_it is None else before_it.id,
            reason,
            dict(restored),
            dict(Counter(kind for _, kind in self._untold(walk.restored))),
            added,
            new,
            len(messages),
            walk.place,
            offered,
            tools,
            walk.restored,
        )

    def commit(
        self,
        plan: Plan,
        answer_ids: Sequence[int],
        logprobs: Sequence[float | None] | None,
        finish_reason: str | None,
        response_id: str = "",
        tool_call_ids: Sequence[str] = (),
        policy_version: int | None = None,
        *,
        delivered: bool = True,
        message: Mapping[str, Any] | None = None,
        masked: Sequence[tuple[int, int, str]] = (),
    ) -> int:
        """Put an answered turn behind its prompt.

        Args:
            plan: of its prompt.
            answer_ids: that were sampled.
            logprobs: of these, None for a hole; None where the engine gave none.
            finish_reason: of the engine; None, "abort" and "error" make the answer partial.
            response_id: the answer's id.
            tool_call_ids: minted for its calls, in order.
            policy_version: of the policy that sampled.
            delivered: the client has the answer; see `deliver`.
            message: what the client gets; read from the ids when not given.
            masked: ids that must not train: (first, end, reason).

        Returns:
            The turn's number.

        Raises:
            ValueError: the logprobs are not one for each id.
        """
        if logprobs is not None and len(logprobs) != len(answer_ids):
            raise ValueError(
                f"{len(logprobs)} logprobs came for {len(answer_ids)} ids: align them by id first."
            )
        if message is None:
            message = self._message(plan, answer_ids, tool_call_ids)
        values = None
        if logprobs is not None:
            values = array("d", [math.nan if one is None else one for one in logprobs])
        node = Node(
            id=len(self._nodes),
            parent=plan.parent,
            added=plan.new,
            answer=array("I", answer_ids),
            logprobs=values,
            depth=plan.depth,
            place=plan.place,
            tools=plan.tools,
            served=served_form(message),
            response_id=response_id,
            policy_version=policy_version,
            masked=tuple(masked),
            partial=finish_reason is None or finish_reason in GIVEN_UP,
            delivered=delivered,
        )
        for turn, kind in self._untold(plan.lacking):
            self._told.add((turn, kind))
            self.restored[kind] += 1
        self._nodes.append(node)
        self._answers.setdefault(plan.place, []).append(node.id)
        self._forms.setdefault(node.served.whole, []).append(node.id)
        self._behind[node.id] = self._new_place()
        for minted in [response_id, *tool_call_ids]:
            if minted:
                self._minted[minted] = node.id
        self.sampled += len(node.answer)
        return node.id

    def deliver(self, node: int, delivered: bool = True) -> None:
        """Say whether the client has got a turn's answer; what it never got does not train."""
        self._nodes[node].delivered = delivered

    def rows(self) -> list[Row]:
        """One training row for each branch."""
        return rows_of(self._nodes)

    def account(self) -> Account:
        """Where every sampled token went."""
        return account_of(self._nodes, self.sampled)

    # ---- what a prompt goes on with

    def _walk(self, messages: Sequence[Mapping[str, Any]], tools: bytes, known: frozenset[int]) -> _Walk:
        walk = _Walk(self._step(0, b"tools" + tools))
        for index, message in enumerate(messages):
            if message.get("role") == "assistant":
                found = self._answered(walk.place, message, known)
                if isinstance(found, Node):
                    walk.restored[found.id] = found.served.restored(message)
                    walk.place, walk.parent = self._behind[found.id], found
                    walk.behind, walk.reason = index + 1, None
                    continue
                walk.reason = walk.reason or found or self._why(message, index, tools)
            walk.place = self._step(walk.place, form_of(message))
        return walk

    def _answered(
        self, place: int, message: Mapping[str, Any], known: frozenset[int]
    ) -> Node | ForkReason | None:
        """The turn whose answer this is, behind the prompt that ends here; else why it is none, if known.

        Of several that are alike, it is the one that is known to be gone on with, or the only one that its
        client got.
        """
        here = self._answers.get(place)
        if here is None:
            return "lost_turn" if place in self._asked else None
        named = {self._minted[one] for one in minted_ids(message) if one in self._minted} & set(here)
        if named:
            (one,) = named if len(named) == 1 else (None,)
            if one is None:
                return "ambiguous"
            node = self._nodes[one]
            return node if node.served.agrees(message) else "client_edit"
        alike = [one for one in here if self._nodes[one].served.agrees(message)]
        delivered = [turn for turn in alike if self._nodes[turn].delivered]
        for likely in ([turn for turn in alike if turn in known], delivered, alike):
            if len(likely) == 1:
                return self._nodes[likely[0]]
        return "ambiguous" if alike else "client_edit"

    def _why(self, message: Mapping[str, Any], index: int, tools: bytes) -> ForkReason | None:
        """Why a message that we served stands behind other messages; None when we did not serve it."""
        known = [self._minted[one] for one in minted_ids(message) if one in self._minted]
        known = known or self._forms.get(form_of(message), [])
        if not known:
            return None
        nodes = [self._nodes[one] for one in known]
        if all(node.tools != tools for node in nodes):
            return "tools_changed"
        return "compaction" if all(index < node.depth for node in nodes) else "client_edit"

    def _render(
        self,
        walk: _Walk,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
    ) -> tuple[list[int], Node | None, ForkReason | None]:
        """The new ids, the turn that they stand behind, and why that is a fork."""
        parent = walk.parent
        if parent is None:
            return self.renderer.prompt(messages, tools), None, walk.reason
        delta = self.renderer.delta(
            parent.added[-_TAIL:].tolist(), parent.answer.tolist(), messages[walk.behind :], tools
        )
        if isinstance(delta, Fork):
            return self.renderer.prompt(messages, tools), None, walk.reason or delta.reason
        return delta, parent, walk.reason

    def _step(self, place: int, form: bytes) -> int:
        step = (place, form)
        found = self._steps.get(step)
        if found is None:
            found = self._steps[step] = self._new_place()
        return found

    def _untold(self, lacking: Mapping[int, Sequence[str]]) -> list[tuple[int, str]]:
        """What messages lack, and those of no answered prompt lacked: turns and kinds."""
        found = {(turn, kind) for turn, kinds in lacking.items() for kind in kinds}
        return sorted(found - self._told)

    def _new_place(self) -> int:
        self._places += 1
        return self._places

    def _message(self, plan: Plan, answer: Sequence[int], tool_call_ids: Sequence[str]) -> dict[str, Any]:
        """An answer's message, as a gateway serves it that gave these ids to its calls."""
        parsed = self.renderer.parse(answer, plan.prompt_ids[-_TAIL:], plan.offered)
        message: dict[str, Any] = {"role": "assistant", "content": parsed.content}
        readable = [call for call in parsed.calls if call.status == "ok"]
        if parsed.calls and not tool_call_ids:
            ended = [one for one in answer if one not in self.renderer.stop_ids]
            return {**message, "content": self.renderer.text(ended)}
        if parsed.reasoning:
            message["reasoning_content"] = parsed.reasoning
        if tool_call_ids:
            message["tool_calls"] = [
                {"id": minted, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for minted, c in zip(tool_call_ids, readable, strict=False)
            ]
        return message
