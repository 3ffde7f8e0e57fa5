// Several runs, each beside the first: rollouts are paired by task and sample.

function showComparison(section) {
  const [first, ...others] = report.runs;
  replace(
    section,
    panel("Runs", runsTable()),
    others.map((run, at) => comparisonView(first, run, report.comparisons[at])),
  );
}

function runsTable() {
  const told = report.runs.map(({ id, summary }, at) => ({
    ...summary,
    label: [
      make("a", { href: addressOf({ view: "overview", run: id }) }, id),
      at ? null : make("span", { class: "faint" }, " the first"),
    ],
    interval: summary.reward_interval,
    format: summary.reliability.all.format,
    execution: summary.reliability.all.execution,
  }));
  return outcomesTable("run", told);
}

function comparisonView(first, run, compared) {
  const title = [make("b", null, run.id), " minus ", make("b", null, first.id)];
  if (!compared.pairs) {
    return panel(
      title,
      make("p", { class: "none" }, "The two have no task and sample in common that both have judged."),
    );
  }
  return panel(
    title,
    [
      differences(compared),
      testWords(compared),
      tasksView(first, run, compared),
      onlyWords(first, run, compared),
    ],
    `${plural(compared.pairs, "pair")} of rollouts of ${plural(compared.tasks, "task")}${compared.unjudged ? `; ${plural(compared.unjudged, "pair")} not judged` : ""}. 95 % intervals count tasks, not rollouts.`,
  );
}

/** Reward, then the two rates of all calls and of each tool. */
function differences(compared) {
  const lines = [
    ["reward", compared.reward],
    ["calls right by format", compared.format],
    ["calls that ran without an error", compared.execution],
    ...Object.entries(compared.tools).flatMap(([tool, levels]) => [
      [`${tool}: format`, levels.format],
      [`${tool}: execution`, levels.execution],
    ]),
  ].filter(([, each]) => each.difference !== null);
  const reach = lines.flatMap(([, each]) => [each.difference, ...(each.interval ?? [])]).map(Math.abs);
  const most = Math.max(0.05, ...reach);
  const rows = lines.map(([label, each]) =>
    make(
      "tr",
      null,
      make("th", { scope: "row" }, label),
      make("td", { class: "num" }, number(each.first)),
      make("td", { class: "num" }, number(each.second)),
      make("td", { class: `num ${verdict(each.interval)}` }, signed(each.difference)),
      make("td", null, difference(each.difference, each.interval, most)),
      make("td", { class: "num faint" }, interval(each.interval) || "–"),
    ),
  );
  const heads = [
    "",
    ["first", 1],
    ["this", 1],
    ["difference", 1],
    `${signed(-most)} to ${signed(most)}`,
    ["95 %", 1],
  ];
  return listTable(heads, rows);
}

function signed(value) {
  return value > 0 ? `+${number(value)}` : number(value).replace("-", "−");
}

/** Coloured only where the interval leaves zero out. */
function verdict(pair) {
  return !pair ? "" : pair[0] > 0 ? "good" : pair[1] < 0 ? "bad" : "";
}

function testWords({ test }) {
  const name = test.name === "mcnemar" ? "McNemar's exact test" : "sign test over tasks";
  const chance = test.p_value === null ? "no task differs" : `p = ${test.p_value.toPrecision(2)} (${name})`;
  return make(
    "p",
    { class: "about" },
    `Better in ${plural(test.won, "task")}, worse in ${count(test.lost)}, equal in ${count(test.tied)}: ${chance}.`,
  );
}

const MOST_TASKS = 12;

function tasksView(first, run, compared) {
  const lists = [
    ["Better", compared.won],
    ["Worse", compared.lost],
  ].map(([title, tasks]) => {
    const shown = tasks
      .slice(0, MOST_TASKS)
      .map((task) =>
        make(
          "tr",
          null,
          make("th", { scope: "row" }, filterLink({ q: task.task }, task.task)),
          make("td", { class: "num faint" }, `${number(task.first)} → ${number(task.second)}`),
          make("td", { class: "num" }, signed(task.difference)),
        ),
      );
    return make(
      "div",
      null,
      make("h3", null, title),
      shown.length
        ? make("table", { class: "plain" }, make("tbody", null, shown))
        : make("p", { class: "none" }, "no task"),
      tasks.length > MOST_TASKS
        ? make("p", { class: "about" }, `… and ${count(tasks.length - MOST_TASKS)} more`)
        : null,
    );
  });
  return make("div", { class: "columns tasks" }, lists);
}

function onlyWords(first, run, compared) {
  const said = [
    [first, compared.only_first],
    [run, compared.only_second],
  ]
    .filter(([, ids]) => ids.length)
    .map(
      ([each, ids]) =>
        `Only ${each.id} has ${plural(ids.length, "rollout")}: ${ids.slice(0, 5).join(", ")}${ids.length > 5 ? ", …" : ""}.`,
    );
  return said.length ? make("p", { class: "about" }, said.join(" ")) : null;
}
