"""A shop's support desk: its orders, what agents may do with them, and the reward. No framework."""

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from typing import Any

from agentcore_rl.reward import Reward, RewardFunction

__all__ = ["DESK_PROMPT", "REFUNDS_PROMPT", "REFUNDS_ROLE", "Desk", "DeskReward"]

DESK_PROMPT = (
    "You answer customers of a tea shop. Look up their orders with the tools, and never guess. "
    "You cannot refund: where money is asked back, hand the case to the refunds specialist with the "
    "order's number and the customer's reason. Then tell the customer what was decided, and name the "
    "order by its number."
)

REFUNDS_PROMPT = (
    "You decide refunds of a tea shop. Look at the order first. "
    "Arrived broken, the wrong item, or lost: refund price and shipping. "
    "A change of mind within 30 days of delivery: refund the price without shipping, but nothing for "
    "final sale. Anything else, or an order that was refunded before: refund nothing. "
    "Amounts are in cents. Then say what you did, with the order's number."
)

REFUNDS_ROLE = "Decides refunds and pays them. Tell it the order's number and the customer's reason."

_SCHEMA = """
CREATE TABLE orders (
    number TEXT PRIMARY KEY, customer TEXT, item TEXT, price_cents INTEGER, shipping_cents INTEGER,
    status TEXT, days_since_delivery INTEGER, final_sale INTEGER, refunded_cents INTEGER
);
CREATE TABLE refunds (number TEXT, cents INTEGER, reason TEXT);
"""

ORDERS = (
    ("R1001", "ada@example.com", "cast-iron teapot", 4900, 590, "delivered", 6, 0, 0),
    ("R1002", "ada@example.com", "assam, 500 g", 1850, 390, "delivered", 41, 0, 0),
    ("R1003", "bela@example.com", "porcelain cups, set of 4", 3200, 590, "delivered", 2, 0, 0),
    ("R1004", "bela@example.com", "matcha whisk", 1450, 390, "on its way", None, 0, 0),
    ("R1005", "chidi@example.com", "glass pot", 2750, 590, "delivered", 29, 0, 0),
    ("R1006", "chidi@example.com", "glass pot", 2750, 590, "delivered", 95, 0, 3340),
    ("R1007", "dana@example.com", "sencha, 250 g", 2100, 390, "lost", None, 0, 0),
    ("R1008", "dana@example.com", "tea tin, last year's", 600, 390, "delivered", 4, 1, 0),
    ("R1009", "emil@example.com", "gift box", 5400, 0, "delivered", 12, 0, 0),
    ("R1010", "emil@example.com", "gift box, dented", 2700, 590, "delivered", 12, 1, 0),
    ("R1011", "fatima@example.com", "darjeeling, 1 kg", 7600, 790, "delivered", 17, 0, 0),
    ("R1012", "fatima@example.com", "kettle", 8900, 790, "on its way", None, 0, 0),
    ("R1013", "goran@example.com", "strainer", 950, 390, "delivered", 30, 0, 0),
    ("R1014", "goran@example.com", "strainer", 950, 390, "delivered", 31, 0, 0),
    ("R1015", "hana@example.com", "gyokuro, 100 g", 3900, 390, "delivered", 1, 0, 0),
    ("R1016", "hana@example.com", "clay cup", 1600, 390, "lost", None, 1, 0),
)
"""What each desk begins with: number, customer, item, price, shipping, status, days since delivery, final
sale, refunded so far."""


class Desk:
    """The environment of one rollout, or of one request: a database of its own, until it is closed.

    Use it as a context manager. Its tools may be called from several threads at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Frameworks run tools in threads of their own.
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.executescript(_SCHEMA)
        self._database.executemany(f"INSERT INTO orders VALUES ({','.join('?' * 9)})", ORDERS)
        # Else a refund that is refused would roll the orders back as well.
        self._database.commit()

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @property
    def desk_tools(self) -> list[Callable[..., str]]:
        """What the desk may do: look."""
        return [self.find_orders, self.get_order]

    @property
    def refunds_tools(self) -> list[Callable[..., str]]:
        """What the refunds specialist may do: look, and pay."""
        return [self.get_order, self.issue_refund]

    def find_orders(self, customer: str) -> str:
        """Lists a customer's orders, the oldest first.

        Args:
            customer: The customer's e-mail address.
        """
        with self._lock:
            rows = self._database.execute(
                "SELECT number, item, status FROM orders WHERE customer = ? ORDER BY number",
                (customer.strip().lower(),),
            ).fetchall()
        if not rows:
            raise ValueError(f"There is no order of {customer}.")
        return "\n".join(f"{row['number']}: {row['item']} ({row['status']})" for row in rows)

    def get_order(self, number: str) -> str:
        """Shows an order with its prices, its delivery and what was refunded.

        Args:
            number: The order's number, for example R1001.
        """
        with self._lock:
            row = self._order(number)
        return json.dumps(dict(row))

    def issue_refund(self, number: str, cents: int, reason: str) -> str:
        """Pays money back to the customer of an order.

        Args:
            number: The order's number, for example R1001.
            cents: How much, in cents.
            reason: Why, in a few words.
        """
        with self._lock, self._database:
            row = self._order(number)
            left = row["price_cents"] + row["shipping_cents"] - row["refunded_cents"]
            if not 0 < cents <= left:
                raise ValueError(f"A refund of {row['number']} is between 1 and {left} cents, not {cents}.")
            self._database.execute("INSERT INTO refunds VALUES (?, ?, ?)", (row["number"], cents, reason))
            self._database.execute(
                "UPDATE orders SET refunded_cents = refunded_cents + ? WHERE number = ?",
                (cents, row["number"]),
            )
        return f"{cents} cents of {row['number']} are paid back."

    def outcome(self, answer: str) -> dict[str, Any]:
        """What came of it: the answer to the customer, and the refunds that stand in the database."""
        with self._lock:
            rows = self._database.execute("SELECT number, cents, reason FROM refunds").fetchall()
        return {"answer": answer.strip(), "refunds": [dict(row) for row in rows]}

    def _order(self, number: str) -> sqlite3.Row:
        row = self._database.execute("SELECT * FROM orders WHERE number = ?", (number.strip(),)).fetchone()
        if row is None:
            raise ValueError(f"There is no order {number}.")
        return row


class DeskReward(RewardFunction):
    """Judges what stands in the database after the rollout, and whether the customer can tell what it was.

    A task says what is right: `order`, and `refund_cents` (0: nothing is to be refunded). Scores, each 1
    or 0: `right_refund` (weight 0.6; the right order and amount, or none where none is due),
    `no_wrong_writes` (0.2; nothing else was paid) and `names_order` (0.2). An agent that raised earns 0.
    """

    weights: Mapping[str, float] = {"right_refund": 0.6, "no_wrong_writes": 0.2, "names_order": 0.2}

    def reward(self, payload: Mapping[str, Any], output: Any, rollout: Any = None) -> Reward:
        """The reward of `Desk.outcome`, as the app calls it: `(payload, output, rollout)`."""
        if output is None:  # a limit of turns or tokens made the agent raise
            scores, paid = dict.fromkeys(self.weights, 0.0), 0
        else:
            made = [(refund["number"], refund["cents"]) for refund in output["refunds"]]
            due = [(payload["order"], payload["refund_cents"])] if payload["refund_cents"] else []
            paid = sum(cents for _, cents in made)
            scores = {
                "right_refund": float(all(refund in made for refund in due) if due else not made),
                "no_wrong_writes": float(len(made) == sum(refund in made for refund in due)),
                "names_order": float(payload["order"] in output["answer"]),
            }
        metrics: dict[str, float] = {"paid_cents": paid}
        if rollout is not None:
            turns = [(path, turn) for path in rollout.trajectories for turn in path.turns]
            metrics["specialist_turns"] = sum(path.parent is not None for path, _ in turns)
            metrics["failed_tools"] = sum(
                execution.outcome != "succeeded" for _, turn in turns for execution in turn.executions
            )
        return Reward.from_scores(scores, weights=self.weights, metrics=metrics)
