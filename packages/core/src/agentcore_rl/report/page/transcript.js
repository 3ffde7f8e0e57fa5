// One rollout.

const seen = { row: -1, rollout: null, asked: 0 };

async function showRollout(section, state) {
  const asked = ++seen.asked;
  const row = rowOf(state.run, state.id);
  if (row < 0) {
    seen.row = -1;
    const words = ["This report lists no rollout ", make("b", null, state.id), "."];
    replace(section, make("p", { class: "notice" }, words));
    return;
  }
  const fresh = seen.row !== row;
  if (fresh || section.dataset.tokens !== state.tokens) {
    let rollout, tokens;
    try {
      rollout = fresh ? await transcriptOf(row) : seen.rollout;
      tokens =
        rollout && state.tokens === "1"
          ? tokensByTurn(rollout, await tokensOfChunk(report.columns.chunk[row]))
          : null;
    } catch (error) {
      rollout = null;
      section.dataset.broken = error.message;
    }
    if (seen.asked !== asked) return; // another one was asked for meanwhile
    Object.assign(seen, { row, rollout });
    section.dataset.tokens = state.tokens;
    if (!rollout) {
      replace(section, rolloutBar(row), absent(row, section.dataset.broken));
      return;
    }
    const place = fresh ? null : placeOfTurn();
    drawRollout(section, row, rollout, state, tokens);
    if (fresh) scrollTo(0, 0);
    else if (place) scrollBy(0, document.getElementById(place.id).getBoundingClientRect().top - place.top);
  }
  if (state.turn) reach(Number(state.turn));
}

/** The first turn that is seen, and where: it stays there when tokens come or go. */
function placeOfTurn() {
  for (const node of document.querySelectorAll("[data-turn]")) {
    const box = node.getBoundingClientRect();
    if (box.bottom > 60) return { id: node.id, top: box.top };
  }
  return null;
}

function absent(row, broken) {
  const why = broken
    ? `It cannot be read from this file: ${broken}.`
    : "Its transcript is not in this file, which would have become too large.";
  return make(
    "p",
    { class: "notice" },
    why,
    " Show it in a terminal: ",
    make(
      "code",
      null,
      `agentcore-rl show ${report.runs[report.columns.run[row]].id} ${report.columns.id[row]}`,
    ),
  );
}

function drawRollout(section, row, rollout, state, tokens) {
  const several = rollout.turns.length > 1;
  replace(
    section,
    rolloutBar(row, state),
    rolloutHead(rollout),
    rollout.failure ? failureView(rollout.failure) : null,
    rollout.suspect.length
      ? make(
          "div",
          { class: "callout warn" },
          make("h2", null, "Suspect"),
          make("p", null, "Its turns may not be the whole truth; trainers leave it out."),
          make(
            "ul",
            null,
            rollout.suspect.map((reason) =>
              make(
                "li",
                null,
                make("b", null, reason),
                SUSPECT_WORDS.has(reason) ? `: ${SUSPECT_WORDS.get(reason)}` : "",
              ),
            ),
          ),
        )
      : null,
    make("div", { class: "columns" }, rewardView(rollout), panel("Time", timeline(rollout))),
    make(
      "div",
      { class: several ? "transcript with-map" : "transcript" },
      several ? turnMap(rollout) : null,
      make(
        "div",
        { class: "turns" },
        tokens ? legend() : null,
        rollout.turns.length
          ? rollout.turns.map((turn) => turnView(rollout, turn, tokens))
          : make("p", { class: "none" }, "No model call was recorded."),
      ),
    ),
    make(
      "div",
      { class: "columns" },
      textPanel("Output", rollout.output),
      textPanel("Payload", rollout.payload),
    ),
    recordView(rollout),
  );
}

function rolloutBar(row, state) {
  tableOfAll();
  const at = list.rows.indexOf(row);
  return make(
    "div",
    { class: "rollout-bar" },
    make("a", { href: addressOf({ ...list.state, view: "rollouts" }) }, "← Rollouts"),
    button("Previous", () => beside(-1), { disabled: at < 1, "aria-keyshortcuts": "k" }),
    button("Next", () => beside(1), {
      disabled: at < 0 || at >= list.rows.length - 1,
      "aria-keyshortcuts": "j",
    }),
    at >= 0 ? make("span", { class: "faint" }, `${count(at + 1)} of ${count(list.rows.length)}`) : null,
    state
      ? button("Tokens", toggleTokens, {
          class: "toggle",
          "aria-pressed": String(state.tokens === "1"),
          "aria-keyshortcuts": "t",
          id: "tokens",
        })
      : null,
  );
}

function toggleTokens() {
  const state = here();
  if (state.view === "rollout") go({ ...state, tokens: state.tokens === "1" ? "" : "1" }, true);
}

/** Who came by a link has the whole table around the rollout. */
function tableOfAll() {
  if (list.state) return;
  list.state = { view: "rollouts", sort: "" };
  list.rows = fitting(list.state);
}

/** The rollout before or behind this one, in the order of the table. */
function beside(by) {
  const state = here();
  const at = list.rows.indexOf(seen.row) + by;
  if (list.rows[at] === undefined) return;
  list.at = at;
  go(rolloutAddress(list.rows[at], { tokens: state.tokens }));
}

function rolloutHead(rollout) {
  const { usage } = rollout;
  const good = rollout.status === "succeeded";
  return make(
    "div",
    { class: "rollout-head" },
    make(
      "h2",
      null,
      rollout.id,
      " ",
      chip(rollout.status, good ? "good" : "bad"),
      rollout.stop_reason === "finished" ? null : chip(rollout.stop_reason, "warn"),
    ),
    make(
      "p",
      { class: "faint" },
      [
        `task ${rollout.task}, sample ${rollout.sample}`,
        `attempt ${rollout.attempt}`,
        rollout.model ? `model ${rollout.model}` : "model chosen by the app",
        rollout.policy_versions.length
          ? `policy ${[...new Set(rollout.policy_versions)].join(" to ")}`
          : null,
        plural(rollout.turns.length, "turn"),
        usage.prompt_tokens === null && usage.completion_tokens === null
          ? null
          : `${usage.prompt_tokens ?? "?"} + ${usage.completion_tokens ?? "?"} tokens`,
        seconds(rollout.timings.total_s),
        date(rollout.timings.accepted_at),
      ]
        .filter((fact) => fact)
        .join(" · "),
    ),
  );
}

function failureView(failure) {
  return make(
    "div",
    { class: "callout bad" },
    make(
      "h2",
      null,
      `Failed: ${failure.kind}`,
      failure.type ? make("span", { class: "faint" }, ` ${failure.type}`) : null,
      failure.infrastructure
        ? chip("infrastructure", "warn", "nobody's policy or code is to blame; a new attempt is worth making")
        : null,
    ),
    longText(failure.message),
    failure.traceback ? fold("Traceback", () => longText(failure.traceback, { class: "text code" })) : null,
  );
}

function rewardView(rollout) {
  const { reward } = rollout;
  if (!reward) return panel("Reward", make("p", { class: "none" }, "Not judged."));
  const scores = Object.entries(reward.scores).map(([name, value]) =>
    make(
      "tr",
      null,
      make("th", { scope: "row" }, name),
      make("td", { class: "num" }, number(value)),
      make(
        "td",
        { class: "num faint" },
        Object.hasOwn(reward.weights, name) ? `× ${number(reward.weights[name])}` : "",
      ),
    ),
  );
  const metrics = Object.entries(reward.metrics).map(([name, value]) =>
    make(
      "tr",
      null,
      make("th", { scope: "row" }, name, " ", make("span", { class: "faint" }, "metric")),
      make("td", { class: "num" }, number(value)),
      make("td"),
    ),
  );
  return panel("Reward", [
    make("p", { class: "big" }, number(reward.value)),
    scores.length || metrics.length
      ? make("table", { class: "plain" }, make("tbody", null, scores, metrics))
      : null,
    reward.turn_rewards
      ? make(
          "p",
          { class: "about" },
          `per turn: ${reward.turn_rewards.map((value) => number(value)).join(", ")}`,
        )
      : null,
  ]);
}

function textPanel(title, text) {
  return text === null
    ? null
    : panel(title, longText(text, { class: title === "Payload" ? "text code" : "text" }));
}

function recordView(rollout) {
  const { crosscheck } = rollout;
  const rows = [
    ["record", rollout.record],
    ["run", rollout.run],
    ["session", rollout.session],
    ["trace", rollout.trace_id],
    [
      "agents",
      rollout.agents
        .map((each) => (each.parent === null ? each.agent : `${each.agent} (of ${each.parent})`))
        .join(", "),
    ],
    [
      "cross-check",
      crosscheck.collected
        ? `${crosscheck.matched} matched, ${crosscheck.wire_only} on the wire only, ${crosscheck.callback_only} by callbacks only, ${crosscheck.differing} differing`
        : "no callbacks were collected",
    ],
    [
      "counts",
      Object.entries(rollout.counts)
        .map(([name, value]) => `${name} ${value}`)
        .join(", "),
    ],
    [
      "software",
      Object.entries(rollout.software)
        .map(([name, version]) => `${name} ${version}`)
        .join(", "),
    ],
  ];
  return make(
    "section",
    { class: "panel" },
    fold("Record", () => facts(rows)),
  );
}

/** Scroll to a turn and stand on it. */
function reach(id) {
  const node = document.getElementById(`turn-${id}`);
  if (!node) return;
  node.hidden = false;
  node.scrollIntoView({ block: "start" });
  node.focus({ preventScroll: true });
}
