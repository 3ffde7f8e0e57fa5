// When each model call ran, and which turn extends which.

function timeline(rollout) {
  const { turns, timings } = rollout;
  if (!turns.length) return null;
  const agents = [...new Set(turns.map((turn) => turn.agent))];
  const end = Math.max(timings.total_s, ...turns.map((turn) => turn.started_s + turn.seconds)) || 1;
  const left = 90,
    width = 560,
    row = 22,
    bottom = 22;
  const height = agents.length * row + bottom;
  const x = (at) => left + (at / end) * (width - left - 10);
  const chart = draw("svg", {
    viewBox: `0 0 ${width} ${height}`,
    class: "chart timeline",
    role: "img",
    "aria-label": timeWords(rollout),
  });
  agents.forEach((agent, at) => {
    fill(chart, [
      draw("text", { x: 0, y: at * row + 15, class: "axis" }, agent.slice(0, 18)),
      draw("line", { x1: left, x2: width - 10, y1: at * row + 11, y2: at * row + 11, class: "rule" }),
    ]);
  });
  for (const turn of turns) {
    const y = agents.indexOf(turn.agent) * row + 3;
    const start = x(turn.started_s);
    const words = `turn ${turn.id}: ${seconds(turn.seconds)} from ${seconds(turn.started_s)}`;
    const bar = draw(
      "rect",
      {
        x: start,
        y,
        width: Math.max(2, x(turn.started_s + turn.seconds) - start),
        height: 16,
        rx: 2,
        class: turn.answer === null ? "bar bad" : "bar",
      },
      draw("title", null, words),
    );
    bar.addEventListener("click", () => reach(turn.id));
    fill(chart, [bar]);
  }
  for (const at of [0, end / 2, end])
    fill(chart, [
      draw(
        "text",
        { x: x(at), y: height - 4, class: `axis ${at === 0 ? "" : at === end ? "end" : "middle"}` },
        seconds(at),
      ),
    ]);
  return make("div", null, chart, make("p", { class: "about" }, timeWords(rollout)));
}

function timeWords(rollout) {
  const { turns, timings } = rollout;
  const model = turns.reduce((sum, turn) => sum + turn.seconds, 0);
  const ran = turns
    .flatMap((turn) => [...turn.calls.map((call) => call.execution), ...turn.executions])
    .filter((each) => each && each.seconds !== null);
  const tools = ran.reduce((sum, each) => sum + each.seconds, 0);
  const parts = [
    `total ${seconds(timings.total_s)}`,
    `agent ${seconds(timings.handler_s)}`,
    `model calls ${seconds(model)}`,
  ];
  if (ran.length) parts.push(`tools ${seconds(tools)}`);
  parts.push(timings.reward_s === null ? "reward not called" : `reward ${seconds(timings.reward_s)}`);
  return parts.join(" · ");
}

/** The turns as a graph: down is later, a step to the right is another agent or a fork. */
function turnMap(rollout) {
  const { turns } = rollout;
  const row = 26,
    step = 14,
    pad = 10;
  const at = new Map(turns.map((turn, index) => [turn.id, index]));
  const widest = Math.max(0, ...turns.map((turn) => turn.lane));
  const width = pad * 2 + Math.min(widest, 12) * step;
  const x = (turn) => pad + Math.min(turn.lane, 12) * step;
  const y = (turn) => at.get(turn.id) * row + row / 2;
  const graph = draw("svg", {
    viewBox: `0 0 ${width} ${turns.length * row}`,
    width,
    height: turns.length * row,
    class: "map",
    "aria-hidden": "true",
  });
  for (const turn of turns) {
    const parent = turns[at.get(turn.parent)];
    if (!parent) continue;
    const [x1, y1, x2, y2] = [x(parent), y(parent), x(turn), y(turn)];
    fill(graph, [
      draw("path", {
        d:
          x1 === x2
            ? `M${x1} ${y1}V${y2}`
            : `M${x1} ${y1}C${x1} ${y1 + row * 0.8} ${x2} ${y2 - row * 0.8} ${x2} ${y2}`,
        class: "edge",
      }),
    ]);
  }
  for (const turn of turns)
    fill(graph, [draw("circle", { cx: x(turn), cy: y(turn), r: 4.5, class: turnMark(turn) })]);
  const several = new Set(turns.map((turn) => turn.agent)).size > 1;
  const links = turns.map((turn) =>
    make(
      "li",
      null,
      button(
        [
          `${turn.id}`,
          several ? make("span", { class: "faint" }, ` ${turn.agent}`) : null,
          turn.calls.length
            ? make(
                "span",
                { class: "faint" },
                ` ${turn.calls
                  .map((call) => call.name)
                  .join(", ")
                  .slice(0, 40)}`,
              )
            : null,
        ],
        () => reach(turn.id),
        { class: "jump", "data-jump": turn.id },
      ),
    ),
  );
  return make(
    "nav",
    { class: "turn-map", "aria-label": "Turns" },
    make("h3", null, plural(turns.length, "turn")),
    branchChoice(rollout),
    make("div", { class: "map-rows" }, graph, make("ol", null, links)),
  );
}

function turnMark(turn) {
  if (turn.answer === null) return "node bad";
  if (turn.suspect.length || turn.calls.some((call) => call.error)) return "node warn";
  return "node";
}

/** Where there are several branches: show the turns of one alone. */
function branchChoice(rollout) {
  if (rollout.branches.length < 2) return null;
  const chosen = (heard) => {
    const path = rollout.branches[Number(heard.target.value)];
    for (const node of document.querySelectorAll("[data-turn]"))
      node.hidden = path !== undefined && !path.includes(Number(node.dataset.turn));
  };
  const option = (path, at) => {
    const agent = rollout.turns.find((turn) => turn.id === path.at(-1)).agent;
    return make(
      "option",
      { value: at },
      `${plainly(agent).slice(0, 24)}: ${path.length > 6 ? `${path.slice(0, 3).join(" › ")} … ${path.at(-1)}` : path.join(" › ")}`,
    );
  };
  return make(
    "label",
    { class: "choice" },
    make("span", { class: "unseen" }, "Branch"),
    make(
      "select",
      { id: "branch", on: { change: chosen } },
      make("option", { value: "" }, `all ${rollout.branches.length} branches`),
      rollout.branches.map(option),
    ),
  );
}
