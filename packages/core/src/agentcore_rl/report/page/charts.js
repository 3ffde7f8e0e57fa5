// Charts in SVG. Each says in words what it shows.

/** Bars of how often each reward occurs, with the mean and its interval above them. */
function rewardChart(rewards, mean, pair, run) {
  const width = 620,
    height = 210,
    left = 44,
    right = 12,
    top = 30,
    bottom = 34;
  const counts = rewards.counts;
  const most = roundUp(Math.max(1, ...counts));
  const discrete = Boolean(rewards.values);
  const [low, high] = rewardRange(rewards, discrete);
  const x = (value) => left + ((value / 2 - low / 2) / (high / 2 - low / 2)) * (width - left - right);
  const y = (number) => height - bottom - (number / most) * (height - top - bottom);
  const chart = draw("svg", {
    viewBox: `0 0 ${width} ${height}`,
    class: "chart",
    role: "img",
    "aria-label": rewardWords(rewards, mean, pair),
  });
  for (const part of [0, 0.5, 1]) {
    const at = y(most * part);
    fill(chart, [
      draw("line", { x1: left, x2: width - right, y1: at, y2: at, class: "rule" }),
      most * part === Math.round(most * part) || part === 0
        ? draw("text", { x: left - 8, y: at + 4, class: "axis end" }, count(most * part))
        : null,
    ]);
  }
  const thick = discrete
    ? Math.min(46, ((width - left - right) / counts.length) * 0.6)
    : x(low + rewards.width) - x(low) - 2;
  counts.forEach((found, at) => {
    const from = discrete ? rewards.values[at] : low + at * rewards.width;
    const to = discrete ? from : from + rewards.width;
    const start = discrete ? x(from) - thick / 2 : x(from) + 1;
    const label = `reward ${number(from)}${discrete ? "" : ` to ${number(to)}`}: ${plural(found, "rollout")}`;
    const bar = draw(
      "rect",
      {
        x: start,
        y: y(found),
        width: Math.max(1, thick),
        height: height - bottom - y(found),
        class: "bar",
        rx: 2,
      },
      draw("title", null, label),
    );
    const address = addressOf({ view: "rollouts", run, min: String(from), max: String(to) });
    fill(chart, [found ? draw("a", { href: address, "aria-label": label }, bar) : null]);
  });
  const marks = discrete ? discreteMarks(rewards.values) : [low, (low + high) / 2, high];
  for (const value of marks)
    fill(chart, [
      draw("text", { x: x(value), y: height - bottom + 18, class: "axis middle" }, number(value, 2)),
    ]);
  if (mean !== null) {
    if (pair) {
      const [from, to] = [Math.max(pair[0], low), Math.min(pair[1], high)];
      fill(chart, [
        draw("rect", {
          x: x(from),
          width: Math.max(1, x(to) - x(from)),
          y: top - 8,
          height: height - bottom - top + 8,
          class: "band",
        }),
      ]);
    }
    fill(chart, [
      draw("line", { x1: x(mean), x2: x(mean), y1: top - 8, y2: height - bottom, class: "mean" }),
      draw(
        "text",
        { x: Math.min(Math.max(x(mean), left + 40), width - 60), y: top - 14, class: "axis middle strong" },
        `mean ${number(mean)}`,
      ),
    ]);
  }
  return chart;
}

/** The values, and both ends of the range that is drawn whole. */
function discreteMarks(values) {
  return values[0] >= 0 && values.at(-1) <= 1 ? [...new Set([0, ...values, 1])] : values;
}

/** The next number that reads well on an axis, twice a whole one. */
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return Math.max(2, [1, 2, 4, 6, 8, 10].find((step) => step * unit >= value) * unit);
}

function rewardRange(rewards, discrete) {
  if (!discrete) return [rewards.low, rewards.low + rewards.width * rewards.counts.length];
  const [first, last] = [rewards.values[0], rewards.values.at(-1)];
  // Room for half a bar on both sides; rewards of 0 and 1 are drawn on the whole range.
  const [low, high] = first >= 0 && last <= 1 ? [0, 1] : [first, last];
  const room = (high - low || 1) * 0.1;
  return [low - room, high + room];
}

function rewardWords(rewards, mean, pair) {
  const parts = rewards.counts.map((found, at) => {
    const from = rewards.values ? rewards.values[at] : rewards.low + at * rewards.width;
    return `${found} at ${rewards.values ? "" : "and above "}${number(from)}`;
  });
  return `Rewards: ${parts.join(", ")}. Mean ${number(mean)}${pair ? `, 95 % interval ${interval(pair)}` : ""}.`;
}

/** A value with its interval on a line from `low` to `high`; what is unknown is not drawn. */
function dot(value, pair, low, high) {
  const width = 180,
    height = 22,
    pad = 6;
  const x = (at) => pad + ((Math.min(Math.max(at, low), high) - low) / (high - low || 1)) * (width - 2 * pad);
  const label = value === null ? "not known" : `${number(value)} ${interval(pair)}`;
  return draw(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "dot", role: "img", "aria-label": label },
    draw("line", { x1: pad, x2: width - pad, y1: height / 2, y2: height / 2, class: "rule" }),
    pair
      ? draw("line", { x1: x(pair[0]), x2: x(pair[1]), y1: height / 2, y2: height / 2, class: "reach" })
      : null,
    value === null ? null : draw("circle", { cx: x(value), cy: height / 2, r: 4.5, class: "point" }),
  );
}

/** Shares of a whole, side by side. */
function stack(parts) {
  const whole = parts.reduce((sum, part) => sum + part.count, 0) || 1;
  const chart = draw("svg", {
    viewBox: "0 0 400 12",
    preserveAspectRatio: "none",
    class: "stack",
    role: "img",
    "aria-label": parts.map((part) => `${part.name}: ${part.count}`).join(", "),
  });
  let at = 0;
  for (const part of parts) {
    const width = (400 * part.count) / whole;
    fill(chart, [
      draw(
        "rect",
        { x: at, y: 0, width, height: 12, class: part.class },
        draw("title", null, `${part.name}: ${count(part.count)}`),
      ),
    ]);
    at += width;
  }
  return chart;
}

/** A bar for a share, beside its number. */
function meter(share, kind) {
  return draw(
    "svg",
    { viewBox: "0 0 100 6", preserveAspectRatio: "none", class: "meter", "aria-hidden": "true" },
    draw("rect", { x: 0, y: 0, width: 100, height: 6, class: "rail", rx: 3 }),
    draw("rect", {
      x: 0,
      y: 0,
      width: Math.max(share > 0 ? 2 : 0, 100 * share),
      height: 6,
      class: kind ?? "bar",
      rx: 3,
    }),
  );
}

/** A difference with its interval, on a line with zero in its middle. */
function difference(value, pair, most) {
  const chart = dot(value, pair, -most, most);
  const middle = draw("line", { x1: 90, x2: 90, y1: 2, y2: 20, class: "zero" });
  chart.insertBefore(middle, chart.firstChild);
  return chart;
}
