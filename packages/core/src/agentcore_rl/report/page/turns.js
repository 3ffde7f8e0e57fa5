// Messages and tool calls of a turn.

const ERROR_WORDS = {
  invalid_json: "the arguments are no JSON",
  not_an_object: "the arguments are no JSON object",
  unknown_tool: "the request offered no such tool",
  missing_argument: "a required argument is missing",
  unexpected_argument: "an argument is not in the schema",
  wrong_type: "an argument has another type",
  wrong_value: "an argument's value is not allowed",
  tool_error: "the tool ran and failed",
  not_executed: "the framework did not run it",
};

function turnView(rollout, turn, tokens) {
  const several = new Set(rollout.turns.map((each) => each.agent)).size > 1;
  const { usage } = turn;
  const facts = [
    several || turn.agent !== "main" ? turn.agent : null,
    turn.model,
    usage ? `${usage.prompt_tokens ?? "?"} + ${usage.completion_tokens ?? "?"} tokens` : null,
    turn.finish_reason ?? "no finish reason",
    seconds(turn.seconds),
    turn.policy_version === null ? null : `policy ${turn.policy_version}`,
    turn.http.length > 1 ? plural(turn.http.length, "HTTP attempt") : null,
    turn.scope === "inferred" ? "scope inferred" : null,
    turn.source === "callbacks" ? "told by callbacks" : null,
  ].filter((fact) => fact);
  const from =
    turn.parent === null
      ? turn.id
        ? "a new root"
        : null
      : turn.parent !== turn.id - 1
        ? `extends turn ${turn.parent}`
        : null;
  const node = make(
    "article",
    {
      class: "turn",
      id: `turn-${turn.id}`,
      "data-turn": turn.id,
      tabindex: "-1",
      "aria-label": `Turn ${turn.id}`,
    },
    make(
      "header",
      null,
      make("h3", null, `Turn ${turn.id}`),
      from ? chip(from, "quiet") : null,
      turn.suspect.map((reason) => chip(`suspect: ${reason}`, "warn", SUSPECT_WORDS.get(reason))),
      make("span", { class: "faint" }, facts.join(" · ")),
    ),
    turn.new.map((index) => messageView(rollout.messages[index])),
    answerView(rollout, turn),
    tokens ? tokenView(rollout, turn, tokens) : null,
    turnDetails(rollout, turn),
  );
  return node;
}

function answerView(rollout, turn) {
  if (turn.answer === null) {
    const errors = turn.http.map((attempt) => attempt.error).filter((error) => error);
    return make(
      "div",
      { class: "message" },
      make("div", { class: "role bad" }, "no answer"),
      make("div", { class: "text bad" }, errors.at(-1) ?? "it was cut off"),
    );
  }
  const calls = turn.calls.map((call) => callView(rollout, call));
  const ran = turn.executions.map((execution) =>
    make(
      "div",
      { class: "call" },
      make(
        "div",
        { class: "call-head" },
        make("b", null, execution.name),
        chip("ran without a call in the answer", "warn"),
      ),
      executionView(execution),
    ),
  );
  return messageView(rollout.messages[turn.answer], [calls, ran], "answer", turn.calls.length > 0);
}

function messageView(message, more, kind, withCalls) {
  const object = message !== null && typeof message === "object" && !Array.isArray(message);
  const role = object && typeof message.role === "string" ? message.role : "message";
  const body = make("div", { class: "says" });
  if (object) {
    const reasoning = message.reasoning_content ?? message.reasoning;
    if (reasoning)
      fill(body, [
        fold(
          `reasoning, ${plural(textOf(reasoning).length, "character")}`,
          () => longText(textOf(reasoning)),
          { class: "reasoning", open: textOf(reasoning).length < 600 },
        ),
      ]);
    fill(body, [contentView(message.content)]);
    if (message.refusal)
      fill(body, [make("div", { class: "text warn" }, "refusal: ", textOf(message.refusal))]);
    if (message.tool_calls && !withCalls)
      fill(body, [longText(textOf(message.tool_calls), { class: "text code" })]);
  } else fill(body, [longText(textOf(message))]);
  fill(body, [more ?? []]);
  if (!body.childNodes.length) fill(body, [make("span", { class: "faint" }, "empty")]);
  const call =
    object && message.tool_call_id
      ? make("div", { class: "faint tiny" }, textOf(message.tool_call_id))
      : null;
  return make(
    "div",
    { class: `message ${kind ?? ""}` },
    make(
      "div",
      { class: `role role-${["system", "user", "assistant", "tool"].includes(role) ? role : "other"}` },
      role,
      call,
    ),
    body,
  );
}

function contentView(content) {
  if (content === null || content === undefined || content === "") return null;
  if (!Array.isArray(content)) return longText(textOf(content));
  return content.map((part) => {
    if (part && typeof part.text === "string") return longText(part.text);
    const type = part && typeof part.type === "string" ? part.type : "part";
    // What it refers to is never loaded.
    return fold(`${type}, not shown`, () => longText(textOf(part), { class: "text code" }));
  });
}

function textOf(value) {
  if (typeof value === "string") return value;
  try {
    return JSON.stringify(value, null, 2) ?? String(value);
  } catch {
    return "(nested too deeply to be shown)";
  }
}

function callView(rollout, call) {
  const chips = [
    call.error
      ? chip(call.error.replaceAll("_", " "), "bad", ERROR_WORDS[call.error])
      : chip("well formed", "good"),
  ];
  if (call.constrained) chips.push(chip("under a grammar", "quiet", "its form tells nothing of the policy"));
  if (call.repeated) chips.push(chip("repeated", "warn", "the same call was made before"));
  if (call.recovered === true) chips.push(chip("recovered", "good", "the same tool succeeded soon after"));
  if (call.recovered === false) chips.push(chip("not recovered", "quiet"));
  const outcome = call.outcome === null ? null : rollout.messages[call.outcome];
  return make(
    "div",
    { class: "call" },
    make(
      "div",
      { class: "call-head" },
      make("b", null, call.name || "(no name)"),
      chips,
      make("span", { class: "faint tiny" }, call.id),
    ),
    make("div", { class: "call-part" }, make("span", { class: "label" }, "arguments"), argumentsView(call)),
    call.findings.map((finding) =>
      make("div", { class: `finding ${finding.error ? "bad" : "faint"}` }, finding.sentence),
    ),
    call.execution ? executionView(call.execution) : null,
    outcome
      ? make(
          "div",
          { class: "call-part" },
          make("span", { class: "label" }, "returned"),
          make(
            "div",
            { class: "says" },
            contentView(outcome.content) ?? make("span", { class: "faint" }, "empty"),
          ),
        )
      : make(
          "div",
          { class: "call-part" },
          make("span", { class: "label" }, "returned"),
          make("span", { class: "faint" }, "no tool message came back"),
        ),
  );
}

/** Arguments as written where they are short; else each with its name. */
function argumentsView(call) {
  const raw = () => longText(call.arguments, { class: "text code" });
  if (!call.parsed || call.arguments.length <= 120) return raw();
  let parsed;
  try {
    parsed = JSON.parse(call.arguments);
  } catch {
    return raw();
  }
  const named = Object.entries(parsed).map(([name, value]) => [
    make("dt", null, name),
    make("dd", null, longText(textOf(value), { class: "text code" })),
  ]);
  return make("div", null, make("dl", { class: "named" }, named), fold("as written", raw));
}

function executionView(execution) {
  const took = execution.seconds === null ? "" : ` in ${seconds(execution.seconds)}`;
  const good = execution.outcome === "succeeded";
  return make(
    "div",
    { class: `call-part ${good ? "" : "bad"}` },
    make("span", { class: "label" }, "ran"),
    make(
      "div",
      null,
      `${execution.outcome.replaceAll("_", " ")}${took}`,
      execution.error ? longText(execution.error) : null,
      execution.verdict === null
        ? null
        : longText(`verdict ${textOf(execution.verdict)}`, { class: "text code" }),
    ),
  );
}

function turnDetails(rollout, turn) {
  return fold(
    "Call",
    () => {
      const rows = [
        ["sampling", turn.sampling],
        ["asked for", turn.asked],
        ["labels", turn.labels],
        ["response id", turn.response_id],
        ["started", seconds(turn.started_s)],
        ...turn.http.map((attempt, at) => [
          `HTTP attempt ${at}`,
          `${attempt.status ?? "no answer"}, ${seconds(attempt.seconds)} from ${seconds(attempt.started_s)}${attempt.complete ? "" : ", not whole"}${attempt.error ? `: ${attempt.error}` : ""}`,
        ]),
      ];
      const offered =
        turn.tools === null
          ? null
          : fold("tools offered", () => longText(textOf(rollout.tools[turn.tools]), { class: "text code" }));
      return [facts(rows), offered];
    },
    { class: "details" },
  );
}

function facts(rows) {
  return make(
    "dl",
    { class: "facts" },
    rows
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => [
        make("dt", null, name),
        make("dd", null, value instanceof Node ? value : longText(String(value))),
      ]),
  );
}
