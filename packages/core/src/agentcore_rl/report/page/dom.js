// Elements from texts. What a record says is hostile: it reaches the page here alone, and only as text.

const SVG = "http://www.w3.org/2000/svg";

// Characters that are not seen, or that turn the direction of what follows. Joiners make words and emoji.
const UNSEEN = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const UNSEEN_RUN = /((?:(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}])+)/u;

function escapeOf(run) {
  const short = { "\r": "\\r", "\0": "\\0", "\x1b": "\\e" };
  return Array.from(run, (char) => {
    const code = char.codePointAt(0);
    return (
      short[char] ?? (code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`)
    );
  }).join("");
}

/** The text for a place that takes no elements: an attribute, a title, an option. */
function plainly(text) {
  const said = String(text);
  return UNSEEN.test(said) ? said.replace(new RegExp(UNSEEN_RUN, "gu"), escapeOf) : said;
}

/** Append the text; what cannot be seen in it is shown as an escape. */
function appendText(node, text) {
  if (!UNSEEN.test(text)) {
    node.append(text);
    return;
  }
  for (const part of text.split(UNSEEN_RUN)) {
    if (!part) continue;
    if (UNSEEN.test(part)) {
      const shown = document.createElement("span");
      shown.className = "escape";
      shown.textContent = escapeOf(part);
      node.append(shown);
    } else node.append(part);
  }
}

function fill(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    if (child instanceof Node) node.append(child);
    else appendText(node, String(child));
  }
  return node;
}

function dress(node, attributes) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [what, heard] of Object.entries(value)) node.addEventListener(what, heard);
    else if (name === "class") node.setAttribute("class", value);
    else node.setAttribute(name, value === true ? "" : plainly(value));
  }
  return node;
}

/** An element; names of tags and attributes are ours, values and children may be anybody's. */
function make(tag, attributes, ...children) {
  return fill(dress(document.createElement(tag), attributes), children);
}

function draw(tag, attributes, ...children) {
  return fill(dress(document.createElementNS(SVG, tag), attributes), children);
}

function replace(node, ...children) {
  node.replaceChildren();
  return fill(node, children);
}

function button(label, does, attributes) {
  return make("button", { type: "button", ...attributes, on: { click: does } }, label);
}

const LONG_TEXT = 8192;

/** A text as it is, the rest of a long one behind a button. */
function longText(text, attributes) {
  const node = make("div", { class: "text", dir: "auto", ...attributes });
  if (text.length <= LONG_TEXT) return fill(node, [text]);
  const all = button(`Show all ${count(text.length)} characters`, () => replace(node, text), {
    class: "more",
  });
  return fill(node, [text.slice(0, LONG_TEXT), make("span", { class: "cut" }, " …"), make("br"), all]);
}

/** A part that opens when asked; its content is made then. */
function fold(summary, content, attributes) {
  const node = make("details", attributes, make("summary", null, summary));
  const open = () => {
    if (node.open && node.childElementCount === 1) fill(node, [content()]);
  };
  node.addEventListener("toggle", open);
  open();
  return node;
}

function chip(label, kind, title) {
  return make("span", { class: `chip ${kind ?? ""}`, title }, label);
}

function say(text) {
  document.getElementById("said").textContent = plainly(text);
}

// ── numbers ──

function count(value) {
  return Math.round(value).toLocaleString("en");
}

function plural(value, what) {
  return `${count(value)} ${what}${value === 1 ? "" : "s"}`;
}

/** A number for a person; a dash where there is none, never a zero. */
function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3 ? value.toExponential(2) : value.toFixed(digits);
}

function percent(part, whole) {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  // Not 100 % where something is missing, not 0 % where something is there.
  const text = share.toFixed(share > 99 || share < 1 ? 2 : 1);
  return part < whole && text === "100.00"
    ? "> 99.99 %"
    : part > 0 && text === "0.00"
      ? "< 0.01 %"
      : `${Number(text)} %`;
}

function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 s";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1e3).toFixed(0)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  return value < 3600
    ? `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`
    : `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
}

function interval(pair, digits = 3) {
  return pair ? `[${number(pair[0], digits)}, ${number(pair[1], digits)}]` : "";
}

function date(at) {
  const when = new Date(at * 1000);
  return Number.isNaN(when.getTime()) ? "–" : when.toISOString().replace("T", " ").slice(0, 19) + " UTC";
}
