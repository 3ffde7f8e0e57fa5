# /// script
# requires-python = ">=3.11"
# dependencies = ["reasoning-gym==0.1.25"]
# ///
# ruff: noqa: E501  (the templates are a table: one line each)
"""Makes the word problems of the math demo: `uv run scripts/make_math_tasks.py`.

Writes `train.jsonl` and `heldout.jsonl` into the package's demo data. The same seed gives the same bytes.
Problems of one and two steps come from the templates below; longer ones from reasoning-gym's procedural
`gsm_symbolic` (Apache-2.0), whose generators are divided between the splits.

What the splits do not share, and how:

- numbers: every number of a train prompt or answer is divisible by three, none of a held-out one is;
- template text: no run of five words (numbers masked) of a held-out prompt occurs in a train prompt;
- names and things of our own templates come from separate lists.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SEED = 20261121
COUNTS = {"train": {1: 320, 2: 200, 3: 40}, "heldout": {1: 100, 2: 60, 3: 40}}
TARGET = Path(__file__).parents[1] / "packages/core/src/agentcore_rl/demo/math"

NAMES = {
    "train": "Anna Ben Clara David Elena Farid Grace Hugo Iris Jonas Katja Leo Mara Nils Olga Pavel".split(),
    "heldout": "Amira Boris Chloe Dario Esther Felix Gita Henrik Ines Joel Kim Lars".split(),
}
THINGS = {
    "train": "apples pencils stickers marbles cookies books shells stamps coins buttons cards balloons".split(),
    "heldout": "pears crayons badges pebbles muffins magazines feathers postcards tokens ribbons".split(),
}


@dataclass(frozen=True)
class Template:
    """One way to tell a problem: `text` and `expression` are filled with the same numbers a, b and c."""

    text: str
    expression: str


def _templates(block: str) -> list[Template]:
    lines = [line.strip().rsplit(" => ", 1) for line in block.strip().splitlines()]
    return [Template(text, expression) for text, expression in lines]


# `t` stands for the things, `n` and `m` for two names.
ONE_STEP = {
    "train": _templates("""
        {n} has {a} {t}. {m} gives {n} {b} more. How many {t} does {n} have now? => {a} + {b}
        {n} found {a} {t} on Monday and {b} {t} on Tuesday. How many {t} did {n} find in total? => {a} + {b}
        There are {a} {t} in a box and {b} {t} on the table. How many {t} are there altogether? => {a} + {b}
        {n} owns {a} {t} and {m} owns {b} {t}. How many {t} do they own together? => {a} + {b}
        A shop sold {a} {t} in the morning and {b} in the afternoon. How many {t} were sold that day? => {a} + {b}
        {n} read {a} pages yesterday and {b} pages today. How many pages has {n} read? => {a} + {b}
        {n} is {a} years old. How old will {n} be in {b} years? => {a} + {b}
        {n} paid ${a} for a coat and ${b} for a hat. What is the sum of both prices? => {a} + {b}
        {n} saved ${a}. Then {n} earned ${b} more. How much money does {n} have? => {a} + {b}
        {n} counted {a} red {t} and {b} blue {t}. What is the total number of {t}? => {a} + {b}
        {n} had {a} {t}. {n} gave {b} to {m}. How many {t} does {n} have left? => {a} - {b}
        A basket holds {a} {t}. {n} takes {b} of them out. How many {t} stay in the basket? => {a} - {b}
        {n} baked {a} {t} and sold {b}. How many {t} were not sold? => {a} - {b}
        {n} had ${a} and spent ${b} at the market. How many dollars remain? => {a} - {b}
        {n} collected {a} {t}, while {m} collected {b}. How many more {t} did {n} collect than {m}? => {a} - {b}
        A rope is {a} meters long. {n} cuts off {b} meters. How long is the rest of the rope? => {a} - {b}
        There were {a} birds in a tree. Then {b} flew away. How many birds are in the tree now? => {a} - {b}
        {n} wants to buy a bike for ${a} and has ${b}. How much does {n} still need? => {a} - {b}
        A bus carried {a} people. At the stop {b} people got off. How many people are on the bus? => {a} - {b}
        {n} lost {b} of the {a} {t} in the bag. How many {t} does {n} still have? => {a} - {b}
        A book has {a} pages. {n} has read {b} pages. How many pages are left to read? => {a} - {b}
        {n} needs {a} {t} and already has {b}. How many are missing? => {a} - {b}
        {n} buys {a} boxes with {b} {t} in each box. How many {t} does {n} buy? => {a} * {b}
        There are {a} bags. Each bag holds {b} {t}. How many {t} are in the bags? => {a} * {b}
        {n} runs {a} miles every day. How many miles does {n} run in {b} days? => {a} * {b}
        One ticket costs ${a}. How much do {b} tickets cost? => {a} * {b}
        {n} works {a} hours a week and earns ${b} an hour. How much does {n} earn in a week? => {a} * {b}
        A room has {a} rows of {b} chairs. How many chairs are in the room? => {a} * {b}
        {n} packs {b} {t} into every one of {a} boxes. How many {t} were packed? => {a} * {b}
        A machine makes {a} {t} per minute. How many {t} does it make in {b} minutes? => {a} * {b}
        {n} drinks {a} cups of water a day. How many cups is that after {b} days? => {a} * {b}
        {n} has {a} {t}. {m} has twice as many. How many {t} does {m} have? => {a} * 2
        {n} shares {ab} {t} equally among {b} friends. How many {t} does each friend get? => {ab} / {b}
        {n} puts {ab} {t} into bags of {b}. How many bags does {n} fill? => {ab} / {b}
        A car drove {ab} miles in {b} hours. How many miles did it drive per hour? => {ab} / {b}
        {b} identical {t} cost ${ab}. What is the price of one? => {ab} / {b}
        A teacher splits {ab} students into {b} equal teams. How many students are in each team? => {ab} / {b}
        {n} read {ab} pages in {b} days, the same number each day. How many pages a day was that? => {ab} / {b}
        {ab} {t} are placed on {b} shelves, equally many on each. How many are on one shelf? => {ab} / {b}
        {n} cuts a {ab} meter cable into pieces of {b} meters. How many pieces are there? => {ab} / {b}
        A farm has {a} cows and {b} sheep. How many animals does the farm have? => {a} + {b}
        {n} walked {a} meters to school and {b} meters to the park. How far did {n} walk? => {a} + {b}
        A train had {a} passengers. Then {b} more got in. How many passengers are in the train? => {a} + {b}
        {n} drew {a} pictures and {m} drew {b}. How many pictures are there in all? => {a} + {b}
        The first class has {a} students, the second {b}. What is the number of students in both? => {a} + {b}
        {n} poured {a} liters and later {b} liters into a pool. How much water is in the pool? => {a} + {b}
        {a} {t} lie in the red bag and {b} in the blue bag. Find the sum. => {a} + {b}
        {n} put {b} new {t} into an album that already had {a}. How many are in the album? => {a} + {b}
        {n} ate {b} of {a} {t}. How many are still there? => {a} - {b}
        {m} took {b} {t} away from {n}, who had {a}. How many does {n} have after that? => {a} - {b}
        A candle of {a} millimeters burned down by {b} millimeters. How tall is it now? => {a} - {b}
        {n} is {a} years old and {m} is {b} years younger. How old is {m}? => {a} - {b}
        Of {a} seats in a hall, {b} are taken. How many seats are free? => {a} - {b}
        A jacket cost ${a}. It is now ${b} cheaper. What is the new price? => {a} - {b}
        {n} printed {a} pages, but {b} were blank. How many pages had text? => {a} - {b}
        A barrel with {a} gallons loses {b} gallons. What amount does the barrel still hold? => {a} - {b}
        {n} must drive {a} miles and has driven {b}. How many miles are ahead? => {a} - {b}
        {a} children went on a trip and {b} of them got sick. How many stayed healthy? => {a} - {b}
        Every one of {a} students has {b} {t}. What number of {t} do they have? => {a} * {b}
        A gardener sets {a} flowers in each of {b} beds. How many flowers is that? => {a} * {b}
        {b} friends each pay ${a} for dinner. What does the dinner cost? => {a} * {b}
        {n} buys {b} {t} at ${a} each. How much money is that? => {a} * {b}
        A printer prints {a} pages per minute. How many pages come out in {b} minutes? => {a} * {b}
        A week of holiday costs ${a}. How much do {b} weeks cost? => {a} * {b}
        There are {b} shelves with {a} books on every shelf. What is the number of books? => {a} * {b}
        {n} writes {a} lines an hour. How many lines are written after {b} hours? => {a} * {b}
        One box weighs {a} pounds. What is the weight of {b} boxes? => {a} * {b}
        A bird lays {a} eggs each month. How many eggs are laid over {b} months? => {a} * {b}
        {n} swims {b} laps of {a} meters. How many meters does {n} swim? => {a} * {b}
        {n} hands out {ab} {t} to {b} children, the same to each. How many does one child receive? => {ab} / {b}
        {ab} students ride in {b} equally full buses. How many students ride in one bus? => {ab} / {b}
        Each box takes {b} {t}. How many boxes does {n} need for {ab} {t}? => {ab} / {b}
        {b} brothers split ${ab} evenly. How much money does each brother get? => {ab} / {b}
        {n} earned ${ab} in {b} hours. How much is that per hour? => {ab} / {b}
        A cook fills {ab} grams of rice into bowls of {b} grams. How many bowls are filled? => {ab} / {b}
        {ab} players form teams of {b}. How many teams are formed? => {ab} / {b}
        A ribbon of {ab} inches is cut into {b} equal parts. How long is each part? => {ab} / {b}
        {n} paid ${ab} for {b} tickets. What was the price per ticket? => {ab} / {b}
        {n} solves {ab} puzzles in {b} weeks, equally many every week. How many in one week? => {ab} / {b}
        A baker lays {ab} rolls on trays that hold {b} rolls. How many trays are used? => {ab} / {b}
    """),
    "heldout": _templates("""
        {n} picked {a} {t} before lunch, then picked another {b} after it. How many were picked in all? => {a} + {b}
        A drawer contains {a} {t}. If {n} puts in {b} extra ones, what will the drawer contain? => {a} + {b}
        {n} scored {a} points in round one plus {b} points in round two. Give the total score. => {a} + {b}
        The school bought {a} {t} last year, then {b} this year. What was the total bought? => {a} + {b}
        {n} began with {a} {t} but threw {b} away. How many {t} remain? => {a} - {b}
        Out of {a} {t} in the store, {b} were sold. How many {t} are left over? => {a} - {b}
        {n} owed ${a} to a friend, then paid back ${b}. How much is still owed? => {a} - {b}
        A tank held {a} liters of water until {b} liters leaked out. How many liters are left in it? => {a} - {b}
        Each of {a} children brought {b} {t}. How many {t} did the children bring altogether? => {a} * {b}
        {n} planted {a} rows with {b} trees in every row. How many trees did {n} plant? => {a} * {b}
        A pack costs ${b}. What must {n} pay for {a} packs? => {a} * {b}
        {n} types {a} words a minute. How many words does {n} type within {b} minutes? => {a} * {b}
        {n} divides {ab} {t} evenly between {b} baskets. How many {t} go in each basket? => {ab} / {b}
        If {b} workers share ${ab} equally, how many dollars will each worker receive? => {ab} / {b}
        {ab} {t} must be packed in crates, {b} per crate. How many crates are needed? => {ab} / {b}
    """),
}

TWO_STEPS = {
    "train": _templates("""
        {n} had {a} {t}, bought {b} more and gave away {c}. How many {t} does {n} have now? => {a} + {b} - {c}
        {n} had {a} {t}. {n} lost {b} and found {c}. How many {t} does {n} have? => {a} - {b} + {c}
        {n} has {a} {t}. {n} gives {b} to {m} and {c} to a teacher. How many are left? => {a} - {b} - {c}
        {n} found {a} {t} on Monday, {b} on Tuesday and {c} on Friday. How many in total? => {a} + {b} + {c}
        {n} buys {a} boxes with {b} {t} each and then gets {c} more {t}. How many {t} are there? => {a} * {b} + {c}
        {n} buys {a} bags of {b} {t} and gives {c} {t} to {m}. How many {t} does {n} keep? => {a} * {b} - {c}
        {n} buys {a} tickets for ${b} each and a drink for ${c}. How much does {n} spend? => {a} * {b} + {c}
        {n} earns ${b} an hour and works {a} hours. Then {n} spends ${c}. How much is left? => {a} * {b} - {c}
        A room has {a} rows of {b} chairs. {c} chairs are broken. How many chairs are fine? => {a} * {b} - {c}
        {n} and {m} have {a} and {b} {t}. They sell all of them for ${c} each. How much money is it? => ({a} + {b}) * {c}
        {n} runs {a} miles and swims {b} miles every day. How many miles is that in {c} days? => ({a} + {b}) * {c}
        {n} had {a} {t} and ate {b}. The others are sold for ${c} each. How much money comes in? => ({a} - {b}) * {c}
        {n} shares {ab} {t} equally among {b} friends. Then each friend gets {c} more. How many has each friend? => {ab} / {b} + {c}
        {b} identical toys cost ${ab}. A game costs ${c} more than one toy. What does the game cost? => {ab} / {b} + {c}
        {n} puts {ab} {t} into {b} equal bags and eats {c} from one bag. How many are left in that bag? => {ab} / {b} - {c}
        A shop has {a} boxes of {b} {t}. It sells them all for ${c} each. How many dollars is that? => {a} * {b} * {c}
        {n} works {a} hours on each of {b} days and earns ${c} an hour. How much does {n} earn? => {a} * {b} * {c}
        A bus carried {a} people. {b} got off and {c} got on. How many people are on the bus? => {a} - {b} + {c}
        {n} has ${a}. A shirt costs ${b} and a cap costs ${c}. How much money remains after buying both? => {a} - {b} - {c}
        {n} has {a} {t}, {m} has {b} and a teacher has {c}. How many {t} do the three have? => {a} + {b} + {c}
    """),
    "heldout": _templates("""
        {n} started with {a} {t}, received {b} as a gift, then dropped {c}. How many remain? => {a} + {b} - {c}
        A library owned {a} {t}, lent {b} of those, then purchased {c} new ones. How many are there? => {a} - {b} + {c}
        {n} ordered {a} crates holding {b} {t} apiece, plus {c} loose {t}. Give the total number. => {a} * {b} + {c}
        {n} baked {a} trays with {b} {t} per tray; {c} were burnt. How many {t} are good? => {a} * {b} - {c}
        A family eats {a} {t} at breakfast plus {b} at dinner, every day. How many are eaten in {c} days? => ({a} + {b}) * {c}
        {n} received ${a}, paid ${b} for food, then ${c} for a taxi. How much money is left over? => {a} - {b} - {c}
        {n} divides {ab} {t} evenly between {b} children, then adds {c} for every child. How many does a child hold? => {ab} / {b} + {c}
        A truck brings {a} pallets, each with {b} crates of {c} {t}. How many {t} does it bring? => {a} * {b} * {c}
    """),
}

_NUMBER = re.compile(r"\d+")


def numbers(text: str) -> set[int]:
    """Every run of digits in a text, as integers."""
    return {int(digits) for digits in _NUMBER.findall(text)}


def five_words(text: str) -> set[tuple[str, ...]]:
    """Every run of five words of a text, in lower case, with numbers masked."""
    words = re.findall(r"[a-z#']+", _NUMBER.sub("#", text.lower()))
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def _allowed(split: str, text: str) -> bool:
    """Whether all numbers of a text may stand in that split."""
    return all((number % 3 == 0) == (split == "train") for number in numbers(text))


def _pool(split: str, low: int, high: int) -> list[int]:
    return [n for n in range(low, high + 1) if (n % 3 == 0) == (split == "train")]


def _fill(split: str, template: Template, rng: random.Random) -> tuple[str, str] | None:
    """One problem (prompt, expression), or None where the numbers drawn do not fit."""
    factor = "*" in template.expression or "/" in template.expression
    a, b = (rng.choice(_pool(split, 2, 30 if factor else 200)) for _ in "ab")
    c = rng.choice(_pool(split, 2, 12 if template.expression.endswith("* {c}") else 60))
    n, m = rng.sample(NAMES[split], 2)
    fields = {"a": a, "b": b, "c": c, "ab": a * b, "n": n, "m": m, "t": rng.choice(THINGS[split])}
    prompt, expression = template.text.format(**fields), template.expression.format(**fields)
    value = eval(expression)
    steps = re.split(r"(?= [-+*] )", expression)
    positive = all(
        eval(steps[0].strip("(") + "".join(steps[1:i])) > 0
        for i in range(1, len(steps))
        if "(" not in expression
    )
    if value <= 0 or value != int(value) or not positive or not _allowed(split, f"{prompt} {int(value)}"):
        return None
    return prompt, expression


def own_problems(split: str, level: int, count: int, seed: int = SEED) -> list[dict[str, str | int]]:
    """Problems of one or two steps with their `expression`, templates taken in turn, no prompt twice."""
    rng = random.Random(f"{seed} {split} {level}")
    templates = (ONE_STEP if level == 1 else TWO_STEPS)[split]
    problems: list[dict[str, str | int]] = []
    seen: set[str] = set()
    while len(problems) < count:
        index = len(problems) % len(templates)
        filled = _fill(split, templates[index], rng)
        if filled is None or filled[0] in seen:
            continue
        seen.add(filled[0])
        prompt, expression = filled
        identity = f"{split}-{level}-t{index:02d}-{len(problems):03d}"
        answer = str(int(eval(expression)))
        problems.append(
            {"id": identity, "prompt": prompt, "answer": answer, "level": level, "expression": expression}
        )
    return problems


def _symbolic(
    split: str, generators: dict[int, Callable[..., dict[str, object]]]
) -> Iterator[dict[str, str | int]]:
    """Problems of three and more steps from gsm_symbolic's generators, in turn, without end."""
    rng = random.Random(f"{SEED} {split} symbolic")
    while True:
        for index, generate in generators.items():
            for _ in range(3000):
                try:
                    example = generate(rng, 1.0)
                except (ValueError, ZeroDivisionError, IndexError):
                    continue  # a few generators fail on some draws
                prompt, answer = str(example["question"]), str(example["answer"])
                worked = example.get("answer_cot") or example["metadata"]["answer_cot"]  # type: ignore[index]
                level = sum("=" in line for line in str(worked).splitlines())
                plain = (
                    prompt.isascii()
                    and re.fullmatch(r"\d+", answer)
                    and len(prompt) < 600
                    and not re.search(r"\.\d\d\d", prompt)
                )
                if plain and level >= 3 and _allowed(split, f"{prompt} {answer}"):
                    yield {
                        "id": f"{split}-{level}-g{index:02d}",
                        "prompt": prompt,
                        "answer": answer,
                        "level": level,
                    }
                    break


def long_problems(taken: set[tuple[str, ...]]) -> dict[str, list[dict[str, str | int]]]:
    """gsm_symbolic's problems for both splits; `taken` are the runs of five words of our own train prompts."""
    from reasoning_gym.arithmetic.gsm_symbolic.gsm_symbolic import (  # type: ignore[import-not-found]
        GSMSymbolicDataset,
        GSMSymbolicDatasetConfig,
        tasks_ok,
    )

    every = GSMSymbolicDataset(GSMSymbolicDatasetConfig(size=1, seed=SEED)).generators
    order = list(tasks_ok)
    random.Random(SEED).shuffle(order)
    halves = {"train": order[::2], "heldout": order[1::2]}
    found: dict[str, list[dict[str, str | int]]] = {}
    for split, indices in halves.items():
        problems: list[dict[str, str | int]] = []
        seen: set[str] = set()
        tries = 0
        for problem in _symbolic(split, {index: every[index] for index in indices}):
            tries += 1
            assert tries < 2000, f"too few problems fit {split}"
            clash = split == "heldout" and five_words(str(problem["prompt"])) & taken
            if clash or problem["prompt"] in seen:
                continue
            seen.add(str(problem["prompt"]))
            problem["id"] = f"{problem['id']}-{len(problems):03d}"
            problems.append(problem)
            if split == "train":
                taken |= five_words(str(problem["prompt"]))
            if len(problems) == COUNTS[split][3]:
                break
        found[split] = problems
    return found


def main() -> None:
    """Makes both files, checks the split, and prints how many problems of each level there are."""
    tasks = {s: own_problems(s, 1, COUNTS[s][1]) + own_problems(s, 2, COUNTS[s][2]) for s in COUNTS}
    own_words = {run for task in tasks["train"] for run in five_words(str(task["prompt"]))}
    for split, problems in long_problems(own_words).items():
        tasks[split] += sorted(problems, key=lambda problem: (problem["level"], problem["id"]))
    texts = {s: " ".join(f"{task['prompt']} {task['answer']}" for task in tasks[s]) for s in tasks}
    words = {s: {run for task in tasks[s] for run in five_words(str(task["prompt"]))} for s in tasks}
    shared = words["train"] & words["heldout"]
    assert not shared, f"runs of five words in both splits: {sorted(' '.join(run) for run in shared)}"
    assert not numbers(texts["train"]) & numbers(texts["heldout"])
    for split, problems in tasks.items():
        keys = ("id", "prompt", "answer", "level")
        lines = [json.dumps({key: problem[key] for key in keys}) + "\n" for problem in problems]
        (TARGET / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        levels = [int(problem["level"]) for problem in problems]
        print(split, {level: levels.count(level) for level in sorted(set(levels))})


if __name__ == "__main__":
    main()
