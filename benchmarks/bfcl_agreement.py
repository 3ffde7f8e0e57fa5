"""How our classification of tool calls agrees with the checker of BFCL, on its questions of one turn.

For every question the gold answer and the same with one planted mistake of each kind are judged twice: by
bfcl-eval's own `ast_checker`, and by us from a record of the calls. What only the gold answer can show is
listed apart. Java and JavaScript questions are left out: their arguments are source code, not JSON.

    python benchmarks/bfcl_agreement.py [--every N]
"""

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "plugins"))

from bfcl import CATEGORIES, NEEDS_GOLD, Outcome, items, judged


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=1, help="only every Nth question")
    args = parser.parse_args()
    began = time.process_time()
    found: dict[str, list[Outcome]] = {
        category: [outcome for item in items(category, every=args.every) for outcome in judged(item)]
        for category in CATEGORIES
    }
    outcomes = [outcome for those in found.values() for outcome in those]
    of_format = [each for each in outcomes if each.case.planted not in NEEDS_GOLD]
    print(f"{'category':24} {'questions':>9} {'cases':>7} {'same verdict':>14} {'same class':>12}")
    for category, those in found.items():
        kept = [each for each in those if each.case.planted not in NEEDS_GOLD]
        print(f"{category:24} {len({each.case.item.id for each in those}):9} {_shares(kept)}")
    print(f"{'all':24} {len({each.case.item.id for each in outcomes}):9} {_shares(of_format)}\n")

    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.case.planted].append(outcome)
    print(f"{'planted':34} {'cases':>7} {'same verdict':>14} {'same class':>12}")
    for kind, those in sorted(
        by_kind.items(), key=lambda each: (each[0] in NEEDS_GOLD, each[0] != "none", each[0])
    ):
        print(f"{kind + (' (needs the gold)' if kind in NEEDS_GOLD else ''):34} {_shares(those)}")

    reasons = Counter(outcome.reason or "NOT EXPLAINED" for outcome in outcomes if outcome.reason != "")
    print("\nwhere they differ")
    for reason, count in reasons.most_common():
        print(f"{count:7}  {reason}")
    print(f"\n{time.process_time() - began:.1f} s of CPU")


def _shares(outcomes: Iterable[Outcome]) -> str:
    those = list(outcomes)
    verdicts = sum(each.verdicts_agree for each in those) / len(those)
    classes = sum(each.classes_agree for each in those) / len(those)
    return f"{len(those):7} {100 * verdicts:13.2f}% {100 * classes:11.2f}%"


if __name__ == "__main__":
    main()
