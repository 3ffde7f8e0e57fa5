// Which rollouts are listed, and in which order.

const haystacks = [];

/** What a search looks through: ids, what was asked and said, and why it failed. */
function haystack(row) {
  if (haystacks[row] === undefined) {
    const { columns } = report;
    const parts = [
      columns.id[row],
      columns.asked[row],
      columns.said[row],
      nameOf("cause", row),
      nameOf("model", row),
    ];
    haystacks[row] = parts
      .filter((part) => part)
      .join("\n")
      .toLowerCase();
  }
  return haystacks[row];
}

/** Rows that every filter lets through. */
function fitting(state) {
  const { columns, names } = report;
  const tests = [];
  const words = (state.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) tests.push((row) => words.every((word) => haystack(row).includes(word)));
  if (state.status) tests.push((row) => (state.status === "succeeded") === Boolean(columns.succeeded[row]));
  if (state.run) {
    const run = report.runs.findIndex((told) => told.id === state.run);
    tests.push((row) => columns.run[row] === run);
  }
  for (const kind of ["kind", "cause", "stop", "framework", "model"]) {
    if (!state[kind]) continue;
    const wanted =
      state[kind] === "unknown" && !names[kind].includes("unknown") ? -1 : names[kind].indexOf(state[kind]);
    tests.push((row) => columns[kind][row] === wanted && (wanted >= 0 || state[kind] === "unknown"));
  }
  if (state.policy) tests.push((row) => String(columns.policy[row] ?? "unknown") === state.policy);
  if (state.suspect === "any") tests.push((row) => columns.suspect[row].length > 0);
  else if (state.suspect) {
    const wanted = names.suspect.indexOf(state.suspect);
    tests.push((row) => columns.suspect[row].includes(wanted));
  }
  if (state.tool || state.error) tests.push(callTest(state));
  tests.push(...rangeTests(state, columns.reward));
  const rows = [];
  for (let row = 0; row < report.rows; row++) if (tests.every((test) => test(row))) rows.push(row);
  return rows;
}

/** A call of this tool, with this error: both of the same call. */
function callTest(state) {
  const { columns, names } = report;
  const tool = names.tool.indexOf(state.tool);
  const error = names.error.indexOf(state.error);
  if (!state.error) return (row) => columns.tools[row].includes(tool);
  return (row) =>
    columns.errors[row].some(
      ([ofTool, found]) => (!state.tool || ofTool === tool) && (state.error === "any" || found === error),
    );
}

function rangeTests(state, rewards) {
  const tests = [];
  const [min, max] = [state.min, state.max].map((text) => (text ? Number(text) : null));
  // The ends of a histogram's parts are rounded: a little beyond them still belongs to them.
  const slack = (end) => Math.abs(end) * 1e-9;
  if (min !== null && !Number.isNaN(min))
    tests.push((row) => rewards[row] !== null && rewards[row] >= min - slack(min));
  if (max !== null && !Number.isNaN(max))
    tests.push((row) => rewards[row] !== null && rewards[row] <= max + slack(max));
  return tests;
}

/** Rows in the order of a column (`-reward`: falling); what is unknown stands last. */
function sorted(rows, sort) {
  const falling = sort.startsWith("-");
  const column = COLUMNS.find((each) => each.key === sort.replace("-", ""));
  if (!column) return rows;
  const keys = new Map(rows.map((row) => [row, column.sorts(row)]));
  const sign = falling ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [a, b] = [keys.get(one), keys.get(other)];
    if (a === null || b === null) return (a === null) - (b === null) || one - other;
    return (a < b ? -sign : a > b ? sign : 0) || one - other;
  });
}

/** The bar above the table. */
function filterBar(state, changed) {
  const { names } = report;
  const set = (name) => (heard) => changed({ [name]: heard.target.value });
  const select = (name, label, options) => {
    const values = options.map((each) => String(Array.isArray(each) ? each[0] : each));
    // What an old link asks for stays chosen, though nothing here has it.
    const known = state[name] && !values.includes(state[name]) ? [...options, state[name]] : options;
    if (!known.length || (known.length < 2 && !state[name])) return null;
    const entries = known.map((each) => {
      const [value, shown] = Array.isArray(each) ? each : [each, each];
      return make("option", { value, selected: state[name] === String(value) }, String(shown).slice(0, 90));
    });
    return make(
      "label",
      { class: state[name] ? "set" : "" },
      make("span", { class: "unseen" }, label),
      make(
        "select",
        { "data-filter": name, on: { change: set(name) } },
        make("option", { value: "" }, label),
        entries,
      ),
    );
  };
  const policies = [...new Set(report.columns.policy)].filter((each) => each !== null).sort((a, b) => a - b);
  const search = make("input", {
    id: "search",
    type: "search",
    placeholder: "Search id, prompt, output, failure  ( / )",
    "aria-label": "Search",
    value: state.q ?? "",
    "aria-keyshortcuts": "/",
    on: { input: set("q") },
  });
  const range = (name, label) =>
    make("input", {
      type: "number",
      step: "any",
      placeholder: label,
      "aria-label": `${label} reward`,
      "data-filter": name,
      value: state[name] ?? "",
      on: { change: set(name) },
    });
  return make(
    "form",
    {
      class: "filters",
      role: "search",
      "aria-label": "Filters",
      on: { submit: (heard) => heard.preventDefault() },
    },
    search,
    report.runs.length > 1
      ? select(
          "run",
          "any run",
          report.runs.map((run) => run.id),
        )
      : null,
    select("status", "any status", ["succeeded", "failed"]),
    select("kind", "any failure", names.kind),
    select("cause", "any cause", names.cause),
    select("stop", "any stop reason", names.stop),
    select("tool", "any tool", [...names.tool].sort()),
    names.error.length ? select("error", "any calls", [["any", "any wrong call"], ...names.error]) : null,
    names.suspect.length ? select("suspect", "suspect or not", [["any", "suspect"], ...names.suspect]) : null,
    select("framework", "any framework", names.framework),
    select("policy", "any policy version", policies),
    select("model", "any model", names.model),
    make(
      "span",
      { class: "range" },
      make("span", { class: "faint" }, "reward"),
      range("min", "least"),
      range("max", "most"),
    ),
    button("Clear", () => go({ view: "rollouts", sort: state.sort }), { class: "quiet" }),
  );
}
