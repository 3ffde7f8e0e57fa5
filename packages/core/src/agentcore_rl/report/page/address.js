// What is shown stands behind the # of the address, so that an address is a link to it.

const VIEWS = ["overview", "rollouts", "compare", "rollout"];
const FILTERS = [
  "q",
  "run",
  "status",
  "kind",
  "cause",
  "stop",
  "tool",
  "error",
  "suspect",
  "framework",
  "policy",
  "model",
  "min",
  "max",
];

function here() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const state = { view: "overview", sort: "", id: "", tokens: "", turn: "" };
  for (const [name, value] of asked) if (name in state || FILTERS.includes(name)) state[name] = value;
  if (!VIEWS.includes(state.view)) state.view = "overview";
  return state;
}

function addressOf(state) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(state))
    if (value && value !== "overview") words.set(name, value);
  return `#${words}`;
}

/** Show something else; `quietly` leaves no step back, as while somebody types. */
function go(state, quietly = false) {
  const address = addressOf(state);
  if (address === (location.hash || "#")) return;
  if (quietly) {
    history.replaceState(null, "", address);
    show();
  } else location.hash = address;
}

/** A link that shows the rollouts with this in common. */
function filterLink(filters, ...label) {
  return make("a", { href: addressOf({ view: "rollouts", ...filters }) }, label);
}

function rolloutAddress(row, more) {
  const run = report.runs.length > 1 ? report.runs[report.columns.run[row]].id : "";
  return { view: "rollout", run, id: report.columns.id[row], ...more };
}

// ── theme ──

const THEMES = ["", "light", "dark"];

function theme(chosen) {
  const root = document.documentElement;
  if (chosen) root.dataset.theme = chosen;
  else delete root.dataset.theme;
  const label = document.getElementById("theme");
  label.textContent = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" }[chosen];
  try {
    localStorage.setItem("agentcore-rl-theme", chosen);
  } catch {
    // Storage may be refused to a page from disk; the choice then lasts as long as the page.
  }
}

function storedTheme() {
  try {
    const stored = localStorage.getItem("agentcore-rl-theme");
    return THEMES.includes(stored) ? stored : "";
  } catch {
    return "";
  }
}

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "";
  theme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}
