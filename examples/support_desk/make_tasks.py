"""Writes tasks.jsonl: what customers ask, and what the shop's rules say is due."""

import json
from pathlib import Path

from desk import ORDERS

BROKEN, WRONG, LOST, REGRET, NOTHING = "broken", "wrong item", "lost", "change of mind", "no refund asked"

# Order, reason, and the customer's words.
CASES = [
    ("R1001", BROKEN, "I am ada@example.com. My teapot came with a crack. I want my money back."),
    ("R1001", REGRET, "ada@example.com here: the teapot is lovely but too heavy. Can I return it?"),
    ("R1002", REGRET, "Please take back the assam that I ordered, I do not like it. ada@example.com"),
    ("R1003", BROKEN, "Two of my four cups are in pieces! Refund order R1003, please."),
    ("R1003", REGRET, "bela@example.com: the cups do not match my pot, I would like to give them back."),
    ("R1004", NOTHING, "Where is my matcha whisk? bela@example.com"),
    ("R1004", REGRET, "I changed my mind about the whisk that is on its way, refund me. bela@example.com"),
    ("R1005", REGRET, "chidi@example.com. I no longer need the glass pot of order R1005. Refund?"),
    ("R1006", BROKEN, "You have not paid me for the broken glass pot of R1006 yet! chidi@example.com"),
    ("R1007", LOST, "My sencha never came. I want my money back. dana@example.com"),
    ("R1008", REGRET, "The tea tin is smaller than I thought, please refund it. dana@example.com"),
    ("R1008", WRONG, "You sent me a red tin, I ordered the one of last year. dana@example.com"),
    ("R1009", REGRET, "emil@example.com: I have two gift boxes now. The one that is not dented goes back."),
    ("R1010", REGRET, "emil@example.com: the dented gift box looks worse than I hoped. Money back, please."),
    ("R1011", WRONG, "I ordered darjeeling and got a kilogram of ceylon. fatima@example.com"),
    ("R1012", NOTHING, "Has the kettle been sent yet? fatima@example.com"),
    ("R1013", REGRET, "Take back the strainer of order R1013, please. goran@example.com"),
    ("R1014", REGRET, "Take back the strainer of order R1014, please. goran@example.com"),
    ("R1015", NOTHING, "Which of my orders was the gyokuro, and when did it arrive? hana@example.com"),
    ("R1016", LOST, "The clay cup is lost, says your carrier. I would like a refund. hana@example.com"),
]


def refund_due(number: str, reason: str) -> int:
    """What the rules in `REFUNDS_PROMPT` give, in cents."""
    [order] = [order for order in ORDERS if order[0] == number]
    *_, price, shipping, status, days, final_sale, refunded = order
    if refunded or reason == NOTHING:
        return 0
    if reason in (BROKEN, WRONG) or (reason == LOST and status == "lost"):
        return price + shipping
    return price if reason == REGRET and days is not None and days <= 30 and not final_sale else 0


def tasks() -> str:
    """The file's text."""
    return "".join(
        json.dumps(
            {
                "id": f"{number}-{reason.replace(' ', '-')}",
                "prompt": words,
                "order": number,
                "refund_cents": refund_due(number, reason),
            }
        )
        + "\n"
        for number, reason, words in CASES
    )


if __name__ == "__main__":
    (Path(__file__).parent / "tasks.jsonl").write_text(tasks())
