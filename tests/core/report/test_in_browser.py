"""The page in a real browser, opened from disk as its readers do."""

import dataclasses
import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentcore_rl.report import Vocabulary, write_report
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind, PromptRef, Rollout, Status, Tokens, Trajectory
from chromium import running_chromium
from made_rollouts import golden_rollout, make_rollout, make_turn, raw, with_fields
from report_runs import run_of

# Runs in every way in which a text could, and hides; the first has no slash and fits a key.
MARKUP = '"><img src=x onerror="window.ran=1"><svg onload=window.ran=1>'
HOSTILE = f"{MARKUP}</script><script>window.ran=1</script>javascript:window.ran=1//\u202e\u0007'-->]]>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    with running_chromium() as running:
        yield running


class Reader:
    """Somebody who reads a report, and everything that happens to them."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.path = path
        self.happened: list[str] = []
        self.page.on("console", lambda said: self.happened.append(f"console {said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.happened.append(f"error: {error.message}"))
        self.page.on("dialog", lambda dialog: (self.happened.append("dialog"), dialog.dismiss()))
        self.page.on("popup", lambda _: self.happened.append("popup"))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if request.url.partition("#")[0] != self.path.as_uri():
            self.happened.append(f"request {request.url}")

    def open(self, address: str = "") -> Any:
        """Open the page at this address."""
        self.page.goto(f"{self.path.as_uri()}#{address}")
        self.page.wait_for_selector("body[data-ready]", state="attached")
        return self.page

    def go(self, address: str) -> None:
        """Follow a link in it."""
        self.page.evaluate("address => { location.hash = address }", address)
        self.shown()

    def shown(self) -> None:
        """Wait until what the address says is drawn."""
        self.until("document.body.dataset.shown === location.hash")

    def until(self, condition: str) -> None:
        """Wait for this to hold. Playwright's own way to wait evaluates text, which the policy forbids."""
        look = f"const look = () => ({condition}) ? then() : setTimeout(look, 5)"
        self.page.evaluate(f"() => new Promise((then) => {{ {look}; look(); }})")

    def press(self, *keys: str) -> None:
        """Press keys one by one."""
        for key in keys:
            self.page.keyboard.press(key)
        self.shown()

    def rows(self) -> list[str]:
        """The ids in the table's rows that are drawn."""
        return self.page.locator("#view-rollouts .body [role=row] a").all_inner_texts()

    def text(self, selector: str) -> str:
        """What an element says."""
        return self.page.locator(selector).first.inner_text()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 200 rollouts with tokens, tool calls, failures, and the golden one."""
    rollouts = [golden_rollout(), *(made(number) for number in range(200))]
    return write_report([run_of(rollouts)], tmp_path_factory.mktemp("report") / "report.html").path


def made(number: int) -> Rollout:
    """A rollout of two turns with a tool call, as different from the next as its number."""
    call = {"name": "search" if number % 2 else "order", "arguments": "{}" if number % 7 else "{"}
    messages = [
        raw({"role": "user", "content": f"question {number}"}),
        raw({"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": call}]}),
        raw({"role": "tool", "tool_call_id": "c", "content": f"found {number}"}),
        raw({"role": "assistant", "content": f"answer {number}"}),
    ]
    tools = raw([{"type": "function", "function": {"name": name}} for name in ("search", "order")])
    turns = [
        make_turn(0, answer=1, tools=0, tokens=Tokens(0, [1, 2, 3], [1000 + number, 70_000], [-0.02, -2.5])),
        make_turn(1, answer=3, prompt=PromptRef(1, [1, 2]), tokens=Tokens(5, [8], [9], None)),
    ]
    broke = Failure(FailureKind.AGENT, f"Order {number} is missing.", "KeyError", "Traceback:\n  line 1")
    return make_rollout(
        task=f"task-{number:03}",
        input_id=f"task-{number:03}.0",
        messages=messages,
        tools=[tools],
        trajectories=[Trajectory("main", None, turns)],
        reward=Reward(number / 200),
        payload={"prompt": f"question {number}"},
        failure=None if number % 10 else broke,
        status=Status.SUCCEEDED if number % 10 else Status.FAILED,
        software={"agentcore-rl-strands": "1"} if number % 2 else {"agentcore-rl-langgraph": "1"},
    )


@pytest.fixture
def reader(browser: Any, report: Path) -> Iterator[Reader]:
    """A reader to whom nothing untoward happens."""
    reading = Reader(browser, report)
    yield reading
    reading.page.close()
    assert reading.happened == []


def test_the_overview(reader):
    """The figures that were computed when it was written; links lead to what they count."""
    page = reader.open()
    assert page.title() == "run · agentcore-rl"
    cards = page.locator(".card").all_inner_texts()
    assert cards[0].split("\n")[:2] == ["Rollouts", "201"]
    assert page.locator("svg.chart[role=img]").first.get_attribute("aria-label").startswith("Rewards:")
    page.get_by_role("link", name="invalid json").or_(
        page.locator("a[href*='error=invalid_json']").first
    ).click()
    reader.shown()
    assert reader.text("#found").startswith("29 of 201")
    reader.go("view=overview")
    page.locator("a[href*='cause=agent']").first.click()
    reader.shown()
    assert reader.text("#found").startswith("20 of 201")


def test_search_and_sort(reader):
    """Typing narrows the table at once; a heading sorts it, and the other way round."""
    page = reader.open("view=rollouts")
    page.keyboard.press("/")
    reader.until("document.activeElement.id === 'search'")
    page.keyboard.type("question 19")
    reader.shown()
    assert reader.rows() == ["task-019.0", "task-119.0", *(f"task-{number}.0" for number in range(190, 200))]
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Enter")
    page.locator("[data-sort=reward]").click()
    page.locator("[data-sort=reward]").click()
    reader.shown()
    assert reader.rows()[:2] == ["task-199.0", "task-198.0"]
    assert page.locator("[role=columnheader][aria-sort=descending]").inner_text().startswith("reward")
    assert "sort=-reward" in page.url


def test_filters(reader):
    """By status, tool, error and reward, together; clearing shows all."""
    page = reader.open("view=rollouts")
    page.locator("[data-filter=tool]").select_option("order")
    page.locator("[data-filter=error]").select_option("invalid_json")
    page.locator("[data-filter=status]").select_option("failed")
    page.locator("[data-filter=min]").fill("0.1")
    page.locator("[data-filter=min]").press("Enter")
    reader.shown()
    assert reader.rows() == ["task-070.0", "task-140.0"]
    page.get_by_role("button", name="Clear").click()
    reader.shown()
    assert reader.text("#found").startswith("201 of 201")


def test_a_transcript(reader):
    """Turns, the call with its outcome and its error, the failure with its traceback."""
    page = reader.open("view=rollouts")
    page.locator(".body [role=row]").nth(3).click()
    reader.shown()
    assert reader.text("#view-rollout h2").startswith("task-003.0")
    reader.go("view=rollout&id=task-070.0")
    assert reader.text("#view-rollout h2").startswith("task-070.0")
    call = page.locator(".call").first
    assert "invalid json" in call.inner_text()
    assert "found 70" in call.inner_text()
    assert "answer 70" in page.locator("#turn-1").inner_text()
    page.locator(".callout summary").click()
    assert "line 1" in reader.text(".callout details")


def test_tokens(reader):
    """Masked and sampled ones differ, and say id, logprob and reason; `t` shows and hides them."""
    page = reader.open("view=rollout&id=task-001.0")
    assert page.locator(".token").count() == 0
    reader.press("t")
    first = page.locator("#turn-0 .token")
    assert first.all_inner_texts() == ["1", "2", "3", "1001", "70000"]
    assert [each.split()[1] for each in first.evaluate_all("all => all.map(each => each.className)")] == [
        *["given"] * 3,
        "p0",
        "p5",
    ]
    assert "unknown" in page.locator("#turn-1 .token").nth(1).get_attribute("class")
    first.nth(4).hover()
    assert reader.text("#tip") == "id 70000\nlogprob -2.5 · probability 0.082\nmask 1: sampled by the policy"
    first.nth(0).hover()
    assert "mask 0: the prompt: given, not sampled" in reader.text("#tip")
    assert page.locator("#tokens").get_attribute("aria-pressed") == "true"
    reader.press("t")
    assert page.locator(".token").count() == 0


def test_texts_of_tokens(browser, tmp_path):
    """With a tokenizer the pieces are read, as text; an id that it does not know stays one."""
    pieces = {1: " the", 2: "\n", 3: MARKUP}
    turn = make_turn(tokens=Tokens(0, [1, 2], [3, 4], None))
    rollout = make_rollout(trajectories=[Trajectory("main", None, [turn])])
    path = tmp_path / "report.html"
    write_report([run_of([rollout])], path, vocabulary=Vocabulary(pieces))
    reader = Reader(browser, path)
    page = reader.open("view=rollout&id=task.0&tokens=1")
    tokens = page.locator("#turn-0 .token")
    assert tokens.all_text_contents() == [" the", "↵", MARKUP, "4"]
    tokens.nth(1).hover()
    assert reader.text("#tip").startswith('id 2 "\\n"')
    page.close()
    assert reader.happened == []


def test_why_tokens_are_not_trained_on(reader):
    """The golden record failed: its sampled tokens are struck, with the reason."""
    page = reader.open("view=rollout&id=task.2&tokens=1")
    assert page.locator("#turn-0 .token.masked").count() == 2
    assert "not trained on: the rollout failed: reward" in reader.text("#turn-0 .token-part")
    assert page.locator("#turn-2 .token").count() == 0
    assert page.locator("[data-jump]").count() == 3
    page.locator("#branch").select_option(label="helper: 2")
    assert [page.locator(f"#turn-{turn}").is_visible() for turn in range(3)] == [False, False, True]


def test_keys(reader):
    """From the table to a rollout, to the next, and back to where one was."""
    page = reader.open("view=rollouts")
    reader.press("j", "j", "Enter")
    assert "id=task-002.0" in page.url
    here = reader.text("#view-rollout h2").split()[0]
    reader.press("j")
    after = reader.text("#view-rollout h2").split()[0]
    assert int(after[5:8]) == int(here[5:8]) + 1
    reader.press("k")
    assert reader.text("#view-rollout h2").split()[0] == here
    reader.press("n")
    assert page.evaluate("document.activeElement.id") == "turn-0"
    reader.press("Escape")
    assert page.locator(".row.here a").inner_text() == here
    reader.press("?")
    assert page.locator("dialog").is_visible()
    reader.press("Escape")
    assert not page.locator("dialog").is_visible()
    reader.press("o")
    assert page.locator("#view-overview").is_visible()


def test_an_address_is_a_link(reader):
    """What is shown stands in the address; going back leads back; an unknown rollout is told."""
    page = reader.open("view=rollout&id=task-150.0&tokens=1&turn=1")
    assert page.locator("#tokens").get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.id") == "turn-1"
    reader.go("view=rollouts&status=failed&sort=-reward")
    assert reader.rows()[0] == "task-190.0"
    page.go_back()
    reader.shown()
    assert reader.text("#view-rollout h2").startswith("task-150.0")
    reader.go("view=rollout&id=nope")
    assert reader.text("#view-rollout") == "This report lists no rollout nope."


def test_only_rows_that_are_seen_are_drawn(reader):
    """The table scrolls through all of them."""
    page = reader.open("view=rollouts")
    assert page.locator(".body [role=row]").count() < 80
    assert page.locator("[role=grid]").get_attribute("aria-rowcount") == "202"
    page.locator("[role=grid]").evaluate("grid => { grid.scrollTop = grid.scrollHeight }")
    reader.until("document.querySelector('.body').innerText.includes('task-199.0')")


def test_everything_has_a_name(reader):
    """Buttons, links and fields say what they are; ids stand once; tables have headings."""
    page = reader.open("view=overview")
    for address in ("view=overview", "view=rollouts", "view=rollout&id=task.2&tokens=1"):
        reader.go(address)
        found = page.evaluate(
            """() => {
              const seen = [...document.querySelectorAll("button, a[href], input, select")]
                .filter((node) => node.offsetParent !== null);
              const name = (node) => node.getAttribute("aria-label") || node.closest("label")?.textContent
                || node.textContent || node.getAttribute("placeholder");
              const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
              return {
                nameless: seen.filter((node) => !name(node).trim()).map((node) => node.outerHTML),
                twice: ids.filter((id, at) => ids.indexOf(id) !== at),
                headless: document.querySelectorAll("table.list:not(:has(th[scope=col]))").length,
                drawings: document.querySelectorAll("main svg:not([role=img]):not([aria-hidden])").length,
              };
            }"""
        )
        assert found == {"nameless": [], "twice": [], "headless": 0, "drawings": 0}, address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser, report, scheme):
    """As the system has it, until the reader chooses."""
    reader = Reader(browser, report, color_scheme=scheme)
    page = reader.open()
    ground = "getComputedStyle(document.body).backgroundColor"
    chosen = {"light": "rgb(247, 247, 245)", "dark": "rgb(20, 22, 25)"}
    assert page.evaluate(ground) == chosen[scheme]
    page.locator("#theme").click()
    assert page.evaluate(ground) == chosen["light"]
    page.locator("#theme").click()
    assert page.evaluate(ground) == chosen["dark"]
    page.close()
    assert reader.happened == []


def poisoned(value: Any, text: str) -> Any:
    """The value with this in the place of every text in it, keys included; its own enumerations stay."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return text
    if isinstance(value, msgspec.Raw):
        return raw(poisoned(msgspec.json.decode(value), text))
    if isinstance(value, dict):
        return {f"{text}{at}": poisoned(item, text) for at, item in enumerate(value.values())}
    if isinstance(value, list):
        return [poisoned(item, text) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **{name: poisoned(item, text) for name, item in fields.items()})
    return value


def hostile_rollouts() -> Iterator[Rollout]:
    """The golden record with one field after another hostile, then with all of them."""
    golden = with_fields(golden_rollout(), output={"answer": "42"}, run=MARKUP)
    for number, field in enumerate(dataclasses.fields(golden)):
        if field.name not in ("run", "session", "input_id"):
            one = {field.name: poisoned(getattr(golden, field.name), HOSTILE)}
            yield with_fields(golden, input_id=f"field-{number}.0", **one)
    everything = poisoned(golden, HOSTILE)
    yield with_fields(everything, run=MARKUP, session=MARKUP, input_id=f"{MARKUP}.0")
    # The shape that messages have, so that each of their own fields is reached.
    call = {"id": HOSTILE, "type": HOSTILE, "function": {"name": HOSTILE, "arguments": HOSTILE}}
    messages = [
        raw({"role": "user", "content": [{"type": HOSTILE, "text": HOSTILE}]}),
        raw(
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x.png"}}],
            }
        ),
        raw({"role": HOSTILE, "content": HOSTILE, "tool_call_id": HOSTILE, "name": HOSTILE}),
        raw(
            {
                "role": "assistant",
                "content": HOSTILE,
                "reasoning_content": HOSTILE,
                "refusal": HOSTILE,
                "tool_calls": [
                    call,
                    {**call, "function": {"name": HOSTILE, "arguments": json.dumps({HOSTILE: 1})}},
                ],
            }
        ),
        raw({"role": "tool", "tool_call_id": HOSTILE, "content": HOSTILE}),
        raw({"role": "assistant", "content": HOSTILE}),
    ]
    turns = [
        make_turn(0, prompt=PromptRef(0, [0, 1, 2]), answer=3, agent=HOSTILE),
        make_turn(1, prompt=PromptRef(3, [3, 4]), answer=5, agent=HOSTILE),
    ]
    yield make_rollout(
        run=MARKUP,
        input_id="shaped.0",
        messages=messages,
        trajectories=[Trajectory(HOSTILE, HOSTILE, turns)],
        payload={"prompt": HOSTILE},
        output=HOSTILE,
    )


def test_nothing_in_a_record_runs(browser, tmp_path):
    """Every text of a record, in every place of the page, is shown as text: none runs, loads or hides."""
    rollouts = list(hostile_rollouts())
    path = write_report(
        [run_of(rollouts, MARKUP), run_of(rollouts[:3], MARKUP)], tmp_path / "report.html"
    ).path
    reader = Reader(browser, path)
    page = reader.open()
    scripts = page.locator("script").count()
    assert scripts == path.read_text().count("<script")
    elements = (
        "img, iframe, object, embed, link, video, audio, base, form[action], [onerror], [onload], "
        "a[href]:not([href^='#'])"
    )
    addresses = ["view=overview", "view=rollouts", "view=rollouts&q=onerror", "view=compare"]
    addresses += [
        f"view=rollout&tokens=1&id={page.evaluate('encodeURIComponent', each.input_id)}" for each in rollouts
    ]
    for address in addresses:
        reader.go(address)
        page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true })")
        page.evaluate("() => new Promise((then) => setTimeout(then))")
        assert page.locator(elements).count() == 0, address
    assert page.locator("script").count() == scripts
    assert page.evaluate("window.ran") is None
    says = page.locator("#turn-1").inner_text()
    assert "</script><script>window.ran=1</script>" in says
    assert "\\u{202e}\\x07" in says
    assert "\u202e" not in page.evaluate("document.body.textContent")
    page.close()
    assert reader.happened == []


def test_huge_texts_are_folded(browser, tmp_path):
    """8 kB of a text and 2,000 tokens are shown, the rest when asked for."""
    long = make_rollout(
        messages=[raw({"role": "user", "content": "w" * 50_000}), raw({"role": "assistant", "content": "x"})],
        trajectories=[Trajectory("main", None, [make_turn(tokens=Tokens(0, [5] * 3000, [6], [-1.0]))])],
    )
    reader = Reader(browser, write_report([run_of([long])], tmp_path / "report.html").path)
    page = reader.open("view=rollout&id=task.0&tokens=1")
    assert len(reader.text("#turn-0 .message .text")) < 9000
    page.get_by_role("button", name="Show all 50,000 characters").click()
    assert len(reader.text("#turn-0 .message .text")) == 50_000
    assert page.locator("#turn-0 .token").count() == 2000
    page.get_by_role("button", name="Show 1,001 more tokens").click()
    assert page.locator("#turn-0 .token").count() == 3001
    page.close()
    assert reader.happened == []


def test_runs_side_by_side(browser, tmp_path):
    """Several runs have a page of their own, with what `compare` found."""
    before = [make_rollout(task=f"t{n}", input_id=f"t{n}.0", reward=Reward(0.0)) for n in range(4)]
    after = [
        with_fields(rollout, run="after", reward=Reward(float(n > 0))) for n, rollout in enumerate(before)
    ]
    runs = [run_of(before), run_of(after, "after")]
    reader = Reader(browser, write_report(runs, tmp_path / "report.html").path)
    page = reader.open("view=compare")
    assert "+0.750" in reader.text("#view-compare .panel:nth-of-type(2)")
    assert "Better in 3 tasks, worse in 0, equal in 1" in reader.text("#view-compare .panel:nth-of-type(2)")
    reader.go("view=rollouts&run=after")
    assert reader.rows()[0] == "after / t0.0"
    page.locator(".body [role=row]").nth(1).click()
    reader.shown()
    assert reader.text("#view-rollout h2").startswith("t1.0")
    assert "run=after" in page.url
    page.close()
    assert reader.happened == []


def test_on_paper(reader):
    """Printing shows rows one below the other, without what cannot be pressed."""
    page = reader.open("view=rollouts&status=failed")
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".body [role=row]").count() == 21
    assert not page.locator("#top").is_visible()
    assert not page.locator(".filters").is_visible()


def test_a_damaged_file_is_told(browser, report, tmp_path):
    """Cut off or changed on its way: a sentence, not an empty page."""
    path = tmp_path / "report.html"
    text = report.read_text()
    at = text.index('id="index">') + 40
    path.write_text(text[:at] + "AAAA" + text[at + 4 :])
    reader = Reader(browser, path)
    reader.page.goto(path.as_uri())
    reader.page.wait_for_selector("#notices .notice")
    assert "This file is damaged" in reader.text("#notices")
    reader.page.close()
    assert reader.happened == []
