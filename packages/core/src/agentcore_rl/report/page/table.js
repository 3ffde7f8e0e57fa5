// The table of rollouts: a virtual list, so that 20,000 rows cost what 40 do.

const COLUMNS = [
  {
    key: "id",
    name: "rollout",
    sorts: (row) => report.columns.id[row],
    cell: (row) => [
      report.runs.length > 1
        ? make("span", { class: "faint" }, `${report.runs[report.columns.run[row]].id} / `)
        : null,
      report.columns.id[row],
    ],
  },
  {
    key: "status",
    name: "status",
    sorts: (row) => report.columns.succeeded[row],
    cell: (row) => statusChip(row),
  },
  {
    key: "reward",
    name: "reward",
    numbers: true,
    sorts: (row) => report.columns.reward[row],
    cell: (row) => number(report.columns.reward[row]),
  },
  {
    key: "turns",
    name: "turns",
    numbers: true,
    sorts: (row) => report.columns.turns[row],
    cell: (row) => number(report.columns.turns[row]),
  },
  {
    key: "calls",
    name: "calls",
    numbers: true,
    sorts: (row) => report.columns.wrong[row] + report.columns.calls[row] * 1e-6,
    cell: (row) => callCell(row),
  },
  {
    key: "tokens",
    name: "tokens",
    numbers: true,
    sorts: (row) => tokensOf(row),
    cell: (row) => number(tokensOf(row)),
  },
  {
    key: "seconds",
    name: "time",
    numbers: true,
    sorts: (row) => report.columns.seconds[row],
    cell: (row) => seconds(report.columns.seconds[row]),
  },
  {
    key: "asked",
    name: "asked",
    sorts: (row) => report.columns.asked[row],
    cell: (row) => report.columns.asked[row],
  },
  {
    key: "remarks",
    name: "remarks",
    sorts: (row) => nameOf("cause", row) ?? (report.columns.suspect[row].length ? "suspect" : null),
    cell: (row) => remarks(row),
  },
];

const list = { rows: [], at: 0, height: 36, body: null, grid: null, state: null };

function statusChip(row) {
  return report.columns.succeeded[row] ? chip("succeeded", "good") : chip("failed", "bad");
}

function callCell(row) {
  const { calls, wrong } = report.columns;
  if (!calls[row]) return make("span", { class: "faint" }, "0");
  return wrong[row]
    ? make(
        "span",
        { class: "bad", title: "without an error, of all" },
        `${calls[row] - wrong[row]} / ${calls[row]}`,
      )
    : number(calls[row]);
}

function tokensOf(row) {
  const [prompt, answer] = [report.columns.prompt_tokens[row], report.columns.answer_tokens[row]];
  return prompt === null && answer === null ? null : (prompt ?? 0) + (answer ?? 0);
}

function remarks(row) {
  const said = [];
  const stop = nameOf("stop", row);
  if (stop !== "finished") said.push(make("span", { class: "warn" }, stop));
  if (report.columns.suspect[row].length)
    said.push(
      make(
        "span",
        { class: "warn" },
        `suspect: ${report.columns.suspect[row].map((each) => report.names.suspect[each]).join(", ")}`,
      ),
    );
  const cause = nameOf("cause", row);
  if (cause !== null) said.push(make("span", { class: "bad" }, cause));
  return said.flatMap((each, at) => (at ? [" · ", each] : [each]));
}

function showRollouts(section, state) {
  const known = section.firstElementChild && list.state;
  list.state = state;
  list.rows = sorted(fitting(state), state.sort);
  const changed = (changes) => go({ ...list.state, ...changes }, "q" in changes);
  // While somebody types, the bar they type in stays.
  if (!known || !section.contains(document.activeElement) || document.activeElement.id !== "search") {
    replace(
      section,
      filterBar(state, changed),
      make("p", { id: "found", class: "found", role: "status" }),
      grid(),
    );
  } else heads();
  told();
  list.body.style.height = `${list.rows.length * list.height}px`;
  list.at = Math.min(list.at, Math.max(0, list.rows.length - 1));
  paint();
  reveal();
}

/** How many rows there are, and what their rewards are. */
function told() {
  const rewards = list.rows.map((row) => report.columns.reward[row]).filter((value) => value !== null);
  const mean = rewards.length ? rewards.reduce((sum, value) => sum + value, 0) / rewards.length : null;
  const good = list.rows.filter((row) => report.columns.succeeded[row]).length;
  const found = document.getElementById("found");
  replace(
    found,
    make("b", null, count(list.rows.length)),
    ` of ${plural(report.rows, "rollout")}`,
    list.rows.length
      ? ` · ${percent(good, list.rows.length)} succeeded · mean reward ${number(mean)} over ${count(rewards.length)} judged`
      : "",
  );
}

function grid() {
  list.head = make("div", { role: "row", class: "head row", "aria-rowindex": "1" });
  heads();
  list.body = make("div", { class: "body", role: "rowgroup" });
  list.grid = make(
    "div",
    {
      class: "grid",
      role: "grid",
      tabindex: "0",
      "aria-label": "Rollouts",
      "aria-colcount": COLUMNS.length,
      on: { scroll: paint },
    },
    make("div", { role: "rowgroup", class: "stuck" }, list.head),
    list.body,
  );
  return list.grid;
}

function heads() {
  const sort = list.state.sort;
  const cells = COLUMNS.map((column) => {
    const order = sort === column.key ? "ascending" : sort === `-${column.key}` ? "descending" : "none";
    const next = sort === column.key ? `-${column.key}` : sort === `-${column.key}` ? "" : column.key;
    const arrow = { ascending: " ↑", descending: " ↓", none: "" }[order];
    return make(
      "div",
      { role: "columnheader", "aria-sort": order, class: column.numbers ? "num" : "" },
      button(
        [column.name, make("span", { "aria-hidden": "true" }, arrow)],
        () => go({ ...list.state, sort: next }, true),
        { "data-sort": column.key },
      ),
    );
  });
  replace(list.head, cells);
}

/** Draw the rows that can be seen. */
function paint() {
  if (!list.grid) return;
  const { rows, height, grid: seen } = list;
  const first = Math.max(0, Math.floor(seen.scrollTop / height) - 8);
  const last = Math.min(rows.length, first + Math.ceil(seen.clientHeight / height) + 16);
  seen.setAttribute("aria-rowcount", rows.length + 1);
  const drawn = [];
  for (let at = first; at < last; at++) drawn.push(line(at));
  list.body.replaceChildren(...drawn);
  if (!rows.length) list.body.append(make("p", { class: "none" }, "No rollout fits these filters."));
  mark();
}

function line(at) {
  const row = list.rows[at];
  const cells = COLUMNS.map((column) =>
    make(
      "div",
      { role: "gridcell", class: column.numbers ? "num" : "" },
      column.key === "id"
        ? make("a", { href: addressOf(rolloutAddress(row)), tabindex: "-1" }, column.cell(row))
        : column.cell(row),
    ),
  );
  const node = make(
    "div",
    {
      role: "row",
      class: "row",
      id: `row-${at}`,
      "aria-rowindex": at + 2,
      on: { click: (heard) => pick(heard, at) },
    },
    cells,
  );
  node.style.transform = `translateY(${at * list.height}px)`;
  return node;
}

function pick(heard, at) {
  list.at = at;
  if (!heard.target.closest("a")) openRow(at);
}

function openRow(at) {
  if (list.rows[at] !== undefined) go(rolloutAddress(list.rows[at], { tokens: list.state.tokens }));
}

function mark() {
  for (const node of list.body.children) {
    const here = node.id === `row-${list.at}`;
    node.classList.toggle("here", here);
    if (here) node.setAttribute("aria-selected", "true");
    else node.removeAttribute("aria-selected");
  }
  if (list.rows.length) list.grid.setAttribute("aria-activedescendant", `row-${list.at}`);
}

/** Scroll so that the row that the keys are on is seen. */
function reveal() {
  const { grid: seen, height, at } = list;
  const top = at * height;
  const room = seen.clientHeight - 2 * height;
  if (top < seen.scrollTop) seen.scrollTop = top;
  else if (top > seen.scrollTop + room) seen.scrollTop = top - room;
  paint();
}

function step(by) {
  list.at = Math.min(Math.max(0, list.at + by), Math.max(0, list.rows.length - 1));
  reveal();
}
