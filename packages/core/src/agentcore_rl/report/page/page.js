// The page: views, keys, notices.

const KEYS = [
  ["/", "search"],
  ["j, k", "next, previous row; in a rollout, next and previous rollout"],
  ["Enter", "open the rollout"],
  ["Esc", "back to the table; in the search, leave it"],
  ["t", "tokens: masks and logprobs"],
  ["n, p", "next, previous turn"],
  ["o, r", "overview, rollouts"],
  ["?", "these keys"],
];

async function show() {
  const state = here();
  const several = report.runs.length > 1;
  if (state.view === "compare" && !several) state.view = "overview";
  for (const view of VIEWS) document.getElementById(`view-${view}`).hidden = view !== state.view;
  for (const link of document.querySelectorAll("#views a")) {
    const current =
      link.dataset.view === state.view || (link.dataset.view === "rollouts" && state.view === "rollout");
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("tip").hidden = true;
  const section = document.getElementById(`view-${state.view}`);
  if (state.view === "overview") showOverview(section, state);
  else if (state.view === "compare") showComparison(section, state);
  else if (state.view === "rollouts") showRollouts(section, state);
  else await showRollout(section, state);
  document.body.dataset.shown = location.hash;
}

function frame() {
  const names = report.runs.map((run) => run.id);
  replace(
    document.getElementById("title"),
    names.length > 1 ? "runs " : "run ",
    make("b", null, names.join(", ")),
  );
  const views = [
    ["overview", "Overview"],
    ["rollouts", "Rollouts"],
    ...(names.length > 1 ? [["compare", "Compare"]] : []),
  ];
  replace(
    document.getElementById("views"),
    views.map(([view, label]) => make("a", { href: addressOf({ view }) || "#", "data-view": view }, label)),
  );
  replace(
    document.getElementById("help"),
    make("h2", { id: "help-title" }, "Keys"),
    make(
      "dl",
      { class: "keys" },
      KEYS.map(([key, does]) => [make("dt", null, make("kbd", null, key)), make("dd", null, does)]),
    ),
    make("form", { method: "dialog" }, make("button", null, "Close")),
  );
  replace(
    document.getElementById("notices"),
    notices().map((notice) => make("p", { class: "notice" }, notice)),
  );
}

function notices() {
  const said = [];
  if (report.failed_only)
    said.push(
      `Listed are only rollouts that failed or are suspect (${count(report.rows)} of ${count(report.counted)}); the figures are of all.`,
    );
  else if (report.rows < report.counted)
    said.push(
      `Listed are ${count(report.rows)} of ${count(report.counted)} rollouts, spread evenly; the figures are of all.`,
    );
  if (report.transcripts < report.rows)
    said.push(
      `${count(report.rows - report.transcripts)} transcripts are not in this file, which would have become too large for a browser. agentcore-rl view RUN with --limit or --failed makes a smaller one.`,
    );
  for (const run of report.runs) {
    const unreadable = Object.entries(run.unreadable);
    if (unreadable.length)
      said.push([
        `${plural(unreadable.length, "object")} of ${run.id} cannot be read and ${unreadable.length === 1 ? "is" : "are"} in no figure: `,
        unreadable
          .slice(0, 3)
          .map(([key, why]) => `${key} (${why.slice(0, 200)})`)
          .join("; "),
      ]);
  }
  return said;
}

// ── keys ──

function pressed(heard) {
  if (heard.ctrlKey || heard.metaKey || heard.altKey || heard.defaultPrevented) return;
  const typing = /^(input|select|textarea)$/i.test(heard.target.tagName);
  const state = here();
  if (heard.key === "Escape") return escaped(heard, typing, state);
  if (typing) {
    if (heard.key === "Enter" && heard.target.id === "search") {
      heard.preventDefault();
      list.grid.focus();
    }
    return;
  }
  if (document.getElementById("help").open) return;
  const does =
    {
      "/": toSearch,
      "?": help,
      t: toggleTokens,
      o: () => go({ view: "overview" }),
      r: toTable,
      n: () => turnBy(1),
      p: () => turnBy(-1),
    }[heard.key] ?? moves(heard, state);
  if (!does) return;
  heard.preventDefault();
  does();
}

function moves(heard, state) {
  const by = {
    j: 1,
    k: -1,
    ArrowDown: 1,
    ArrowUp: -1,
    PageDown: 15,
    PageUp: -15,
    Home: -Infinity,
    End: Infinity,
  }[heard.key];
  if (state.view === "rollout") return heard.key === "j" || heard.key === "k" ? () => beside(by) : null;
  if (state.view !== "rollouts") return null;
  if (heard.key === "Enter")
    return /^(a|button)$/i.test(heard.target.tagName) ? null : () => openRow(list.at);
  const arrows = heard.key !== "j" && heard.key !== "k";
  return by === undefined || (arrows && heard.target !== list.grid) ? null : () => step(by);
}

function escaped(heard, typing, state) {
  if (document.getElementById("help").open) return;
  if (typing) heard.target.blur();
  else if (state.view === "rollout") toTable();
  else return;
  heard.preventDefault();
}

function toSearch() {
  const state = here();
  if (state.view !== "rollouts") toTable();
  requestAnimationFrame(() => setTimeout(() => document.getElementById("search")?.select()));
}

function toTable() {
  go({ ...(list.state ?? {}), view: "rollouts" });
  requestAnimationFrame(() => setTimeout(() => list.grid?.focus({ preventScroll: true })));
}

function turnBy(by) {
  if (here().view !== "rollout") return;
  const turns = [...document.querySelectorAll("[data-turn]:not([hidden])")];
  const at = turns.indexOf(document.activeElement.closest?.("[data-turn]"));
  const next = turns[Math.min(Math.max(0, at + by), turns.length - 1)];
  if (next) reach(Number(next.dataset.turn));
}

function help() {
  document.getElementById("help").showModal();
}

// ── start ──

async function start() {
  theme(storedTheme());
  if (!("DecompressionStream" in window)) {
    replace(
      document.getElementById("notices"),
      make(
        "p",
        { class: "notice" },
        "This browser cannot read the report: it lacks DecompressionStream, which all have had since 2023.",
      ),
    );
    return;
  }
  try {
    await readIndex();
  } catch (error) {
    replace(
      document.getElementById("notices"),
      make(
        "p",
        { class: "notice" },
        `This file is damaged: ${error.message}. Make it anew with agentcore-rl view.`,
      ),
    );
    return;
  }
  frame();
  watchTokens();
  document.getElementById("theme").addEventListener("click", nextTheme);
  document.getElementById("help-open").addEventListener("click", help);
  document.getElementById("skip").addEventListener("click", () => document.getElementById("main").focus());
  document.addEventListener("keydown", pressed);
  addEventListener("hashchange", show);
  addEventListener("resize", paint);
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
  await show();
  document.body.dataset.ready = performance.now().toFixed(0);
}

const MOST_PRINTED = 1000;

/** On paper there is nothing to scroll: the rows stand one below the other, folds are open. */
function printing(begins) {
  if (here().view === "rollouts" && list.grid) {
    if (begins) list.body.replaceChildren(...list.rows.slice(0, MOST_PRINTED).map((_, at) => line(at)));
    else paint();
  }
  for (const node of document.querySelectorAll("main details")) if (begins) node.open = true;
}

start();
