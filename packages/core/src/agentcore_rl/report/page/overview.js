// The first page: what came of a run, in figures that were computed from all of its records.

const SUSPECT_WORDS = new Map(
  Object.entries({
    redacted: "a secret stood in a text and was replaced",
    unserialisable: "a part of a turn was no JSON",
    forked: "an agent's conversation was changed or went two ways",
    inferred_scope: "a call came from outside the rollout's own threads",
    cut_answer: "an answer ended early",
    cut_stream: "an answer ended early",
    no_answer: "a call has no answer",
    prompt_ids_unknown: "the server gave no ids of a prompt",
    callback_only: "a call went around the transport",
    wire_only: "the framework's callbacks did not see a call",
    unfinished_call: "a call had not ended when the rollout did",
  }),
);

function showOverview(section, state) {
  const told = report.runs.find((run) => run.id === state.run) ?? report.runs[0];
  const run = report.runs.length > 1 ? told.id : "";
  replace(
    section,
    runChoice(told, "overview"),
    cards(told, run),
    make(
      "div",
      { class: "columns" },
      panel("Rewards", rewardsPanel(told, run)),
      panel("How rollouts ended", endsPanel(told, run)),
    ),
    toolsPanels(told, run),
    groupsPanel(told, run),
    panel("Failures by cause", causesPanel(told, run)),
    panel("Suspect rollouts", suspectPanel(told, run)),
    make("p", { class: "fine" }, `Records: ${told.location}. Report made ${date(report.made_at)}.`),
  );
}

function panel(title, content, about) {
  if (!content) return null;
  return make(
    "section",
    { class: "panel" },
    make("h2", null, title),
    about ? make("p", { class: "about" }, about) : null,
    content,
  );
}

function runChoice(told, view) {
  if (report.runs.length < 2) return null;
  const choose = make(
    "select",
    { on: { change: (heard) => go({ view, run: heard.target.value }) } },
    report.runs.map((run) => make("option", { value: run.id, selected: run === told }, run.id)),
  );
  return make("label", { class: "choice" }, "Run ", choose);
}

function cards(told, run) {
  const { summary } = told;
  const failed = summary.rollouts - summary.succeeded;
  const missing = told.asked === null ? 0 : Math.max(0, told.asked - summary.rollouts);
  const tokens = [summary.prompt_tokens, summary.completion_tokens];
  return make(
    "div",
    { class: "cards" },
    card("Rollouts", count(summary.rollouts), [
      filterLink({ run, status: "succeeded" }, `${count(summary.succeeded)} succeeded`),
      failed ? filterLink({ run, status: "failed" }, `${count(failed)} failed`) : null,
      missing ? make("span", { class: "bad" }, `${count(missing)} without a record`) : null,
      told.late ? make("span", null, `${plural(told.late, "further attempt")}`) : null,
    ]),
    card("Mean reward", number(summary.mean_reward), [
      summary.reward_interval
        ? make(
            "span",
            { title: "95 % interval, clustered by task" },
            summary.reward_interval.map((end) => number(end)).join(" to "),
          )
        : make("span", { title: "how tasks differ cannot be told from fewer than two" }, "no interval"),
      make("span", null, `${count(summary.judged)} judged`),
    ]),
    shareCard("Calls right by format", summary.reliability.all.format),
    shareCard("Calls that ran well", summary.reliability.all.execution),
    card(
      "Tokens",
      tokens.every((each) => each === null) ? "–" : compact((tokens[0] ?? 0) + (tokens[1] ?? 0)),
      [
        make(
          "span",
          null,
          `${tokens.map((each) => (each === null ? "?" : compact(each))).join(" prompt + ")} sampled`,
        ),
        make("span", null, `${count(summary.turns)} model calls`),
      ],
    ),
    card("Suspect", count(summary.suspect), [
      summary.suspect
        ? filterLink({ run, suspect: "any" }, "show them")
        : make("span", null, "no record in doubt"),
    ]),
  );
}

function shareCard(label, share) {
  const reach = share.interval?.map((end) => (100 * end).toFixed(1)).join(" to ");
  return card(label, percent(share.hits, share.of), [
    share.of
      ? make("span", { title: "95 % interval, clustered by rollout" }, reach ? `${reach} %` : "no interval")
      : null,
    make("span", null, share.of ? `${count(share.hits)} of ${count(share.of)}` : "none to judge"),
  ]);
}

function compact(value) {
  return value < 10_000
    ? count(value)
    : Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

function card(label, value, more) {
  return make(
    "div",
    { class: "card" },
    make("div", { class: "label" }, label),
    make("div", { class: "value" }, value),
    make("div", { class: "more-of" }, more),
  );
}

function rewardsPanel(told, run) {
  const { rewards } = told.figures;
  if (!rewards.counts.length) return make("p", { class: "none" }, "No rollout was judged.");
  return rewardChart(rewards, told.summary.mean_reward, told.summary.reward_interval, run);
}

function endsPanel(told, run) {
  const { summary, figures } = told;
  const kinds = Object.entries(summary.failed);
  const parts = [
    { name: "succeeded", count: summary.succeeded, class: "good" },
    ...kinds.map(([name, found], at) => ({ name, count: found, class: `bad shade-${at % 4}` })),
  ];
  const rows = parts.map((part) =>
    make(
      "tr",
      null,
      make("td", null, make("span", { class: `swatch ${part.class}` })),
      make(
        "th",
        { scope: "row" },
        filterLink(
          part.class === "good" ? { run, status: "succeeded" } : { run, kind: part.name },
          part.class === "good" ? "succeeded" : `failed: ${part.name}`,
        ),
      ),
      make("td", { class: "num" }, count(part.count)),
      make("td", { class: "num faint" }, percent(part.count, summary.rollouts)),
    ),
  );
  const stops = Object.entries(figures.stops).map(([name, found]) => [
    filterLink({ run, stop: name }, `${name} ${count(found)}`),
    " ",
  ]);
  return [
    stack(parts),
    make("table", { class: "plain" }, make("tbody", null, rows)),
    make("p", { class: "about" }, "Stop reasons: ", stops),
  ];
}

function groupsPanel(told, run) {
  const kinds = ["framework", "policy version", "model"].map((by) => [
    by,
    told.figures.groups.filter((group) => group.by === by),
  ]);
  const shown = kinds.filter(([, groups]) => groups.length > 1);
  return shown.map(([by, groups]) =>
    panel(`By ${by}`, groupTable(by, groups, run, told.summary.reliability)),
  );
}

const GROUP_FILTER = { framework: "framework", "policy version": "policy", model: "model" };

function groupTable(by, groups, run, reliability) {
  const figures = reliability[{ framework: "by_framework", "policy version": "by_policy_version" }[by]] ?? {};
  const told = groups.map((group) => {
    const each = Object.hasOwn(figures, group.name) ? figures[group.name] : {};
    const label = filterLink({ run, [GROUP_FILTER[by]]: group.name }, group.name);
    return { label, ...group, format: each.format, execution: each.execution };
  });
  return outcomesTable(by, told);
}

/** Groups of rollouts beside each other: how many, their rewards, the two rates of their tool calls. */
function outcomesTable(by, groups) {
  const ends = groups
    .flatMap((group) => [group.mean_reward, ...(group.interval ?? [])])
    .filter((value) => value !== null);
  const [low, high] = [Math.min(0, ...ends), Math.max(1, ...ends)];
  const rate = (share) =>
    share
      ? make("td", { class: "num", title: shareWords(share) }, percent(share.hits, share.of))
      : make("td", { class: "num" }, "–");
  const rows = groups.map((group) =>
    make(
      "tr",
      null,
      make("th", { scope: "row" }, group.label),
      make("td", { class: "num" }, count(group.rollouts)),
      make("td", { class: "num" }, percent(group.succeeded, group.rollouts)),
      make("td", { class: "num" }, number(group.mean_reward)),
      make("td", null, dot(group.mean_reward, group.interval, low, high)),
      make("td", { class: "num faint" }, interval(group.interval) || "–"),
      rate(group.format),
      rate(group.execution),
    ),
  );
  const heads = [
    by,
    ["rollouts", 1],
    ["succeeded", 1],
    ["mean reward", 1],
    `${number(low, 1)} to ${number(high, 1)}`,
    ["95 %", 1],
    ["calls right by format", 1],
    ["ran without an error", 1],
  ];
  return listTable(heads, rows);
}

/** A table with these headings; a pair is one of numbers. */
function listTable(headings, rows) {
  const heads = headings.map((heading) =>
    Array.isArray(heading)
      ? make("th", { scope: "col", class: "num" }, heading[0])
      : make("th", { scope: "col" }, heading),
  );
  return make(
    "div",
    { class: "wide" },
    make("table", { class: "list" }, make("thead", null, make("tr", null, heads)), make("tbody", null, rows)),
  );
}

function toolsPanels(told, run) {
  const { reliability } = told.summary;
  if (!reliability.all.calls) return panel("Tool calls", make("p", { class: "none" }, "No tool was called."));
  return [
    panel(
      "Tool calls by tool",
      [
        reliabilityTable("tool", reliability.by_tool, run, { all: reliability.all }),
        callRemarks(reliability),
      ],
      "Two rates, which are easily mixed up: format is the model's doing alone, execution is what came of running it. 95 % intervals, clustered by rollout.",
    ),
    errorsPanel(reliability, run),
  ];
}

const RELIABILITY_HEADS = [
  ["calls", 1],
  ["right by format", 1],
  "",
  ["ran without an error", 1],
  "",
  ["recovered", 1],
  ["repeated", 1],
];

function reliabilityTable(by, figures, run, { all, filter = by } = {}) {
  const entries = Object.entries(figures);
  const rows = entries.map(([name, each]) => reliabilityRow(filterLink({ run, [filter]: name }, name), each));
  if (all && entries.length > 1) rows.push(reliabilityRow("all", all));
  return listTable([by, ...RELIABILITY_HEADS], rows);
}

function reliabilityRow(label, each) {
  return make(
    "tr",
    null,
    make("th", { scope: "row" }, label),
    make("td", { class: "num" }, count(each.calls)),
    shareCells(each.format),
    shareCells(each.execution),
    make(
      "td",
      { class: "num", title: shareWords(each.recovery) },
      percent(each.recovery.hits, each.recovery.of),
    ),
    make("td", { class: "num", title: shareWords(each.waste) }, percent(each.waste.hits, each.waste.of)),
  );
}

/** A share and its interval. */
function shareCells(share) {
  return [
    make("td", { class: "num", title: shareWords(share) }, percent(share.hits, share.of)),
    make("td", { title: shareWords(share) }, dot(share.rate, share.interval, 0, 1)),
  ];
}

function shareWords(share) {
  if (!share.of) return "nothing to count";
  const reach = share.interval?.map((end) => (100 * end).toFixed(1)).join(" to ");
  return `${count(share.hits)} of ${count(share.of)}${reach ? `, 95 % interval ${reach} %` : ""}`;
}

function callRemarks(reliability) {
  const said = [];
  const { none_called: none, spelled } = reliability;
  const unknown = Object.entries(reliability.unknown_tools);
  if (unknown.length) {
    const names = unknown.slice(0, 5).map(([name, found]) => `${name} (${count(found)})`);
    said.push(`Called though not offered: ${names.join(", ")}${unknown.length > 5 ? ", …" : ""}.`);
  }
  if (none.hits) said.push(`${count(none.hits)} of ${plural(none.of, "rollout")} with tools called none.`);
  if (spelled.hits) {
    said.push(`In ${plural(spelled.hits, "rollout")} an answer spells a call that no parser took.`);
  }
  return said.length ? make("p", { class: "about" }, said.join(" ")) : null;
}

/** Tools beside error classes; each number leads to the rollouts. */
function errorsPanel(reliability, run) {
  const errors = Object.keys(ERROR_WORDS).filter((error) => reliability.all.errors[error]);
  if (!errors.length) return panel("Tool calls by error", make("p", { class: "none" }, "No call was wrong."));
  const tools = Object.entries(reliability.by_tool).filter(([, each]) => Object.keys(each.errors).length);
  const cell = (found, filters) =>
    make("td", { class: "num" }, found ? filterLink({ run, ...filters }, count(found)) : "·");
  const rows = errors.map((error) => {
    const each = reliability.by_error[error];
    return make(
      "tr",
      null,
      make("th", { scope: "row", title: ERROR_WORDS[error] }, error.replaceAll("_", " ")),
      cell(reliability.all.errors[error], { error }),
      make("td", { class: "num faint" }, percent(each.recovery.hits, each.recovery.of)),
      tools.map(([tool, figures]) => cell(figures.errors[error], { error, tool })),
    );
  });
  const heads = ["error", ["all", 1], ["recovered", 1], ...tools.map(([tool]) => [tool, 1])];
  return panel(
    "Tool calls by error",
    listTable(heads, rows),
    "Each call is counted once, under its gravest error.",
  );
}

function causesPanel(told, run) {
  const { causes, more_causes: more } = told.figures;
  if (!causes.length) return make("p", { class: "none" }, "No rollout failed.");
  const most = causes[0].count;
  const rows = causes.map((cause) =>
    make(
      "tr",
      null,
      make("td", { class: "num" }, filterLink({ run, cause: cause.cause }, count(cause.count))),
      make("td", { class: "slim" }, meter(cause.count / most, "bad")),
      make("td", null, chip(cause.kind, "bad")),
      make("td", { class: "said" }, filterLink({ run, cause: cause.cause }, cause.message.slice(0, 300))),
    ),
  );
  return [
    listTable([["rollouts", 1], "", "boundary", "for example"], rows),
    more ? make("p", { class: "about" }, `… and ${plural(more, "other cause")}.`) : null,
  ];
}

function suspectPanel(told, run) {
  const reasons = Object.entries(told.figures.suspect);
  if (!reasons.length) return make("p", { class: "none" }, "None.");
  const rows = reasons.map(([reason, found]) =>
    make(
      "tr",
      null,
      make("td", { class: "num" }, filterLink({ run, suspect: reason }, count(found))),
      make("th", { scope: "row" }, filterLink({ run, suspect: reason }, reason)),
      make("td", { class: "said" }, SUSPECT_WORDS.get(reason) ?? ""),
    ),
  );
  return listTable([["rollouts", 1], "reason", "what it says"], rows);
}
