// Tokens of a turn: which the policy sampled, how likely each was to it, and why one is not trained on.

const MOST_TOKENS = 2000;
// Upper ends of the steps of colour, in logprobs without their sign: p = 0.9, 0.7, 0.5, 0.3, 0.1, 0.03, 0.01.
const STEPS = [0.1054, 0.3567, 0.6932, 1.204, 2.3026, 3.5066, 4.6052];

function tokenView(rollout, turn, tokens) {
  if (!turn.tokens) {
    return make("p", { class: "none token-part" }, "The server gave no token ids for this turn.");
  }
  const why = maskReason(rollout, turn);
  const { given, sampled, logprobs } = tokens.get(turn.id);
  const parts = [
    ...Array.from(given, (id) => ({ id, why: "the prompt: given, not sampled" })),
    ...Array.from(sampled, (id, at) => ({ id, sampled: true, logprob: logprobs?.[at], why })),
  ];
  const view = make("div", { class: "tokens", "data-view": turn.id }, parts.slice(0, MOST_TOKENS).map(token));
  if (parts.length > MOST_TOKENS) {
    const rest = button(
      `Show ${plural(parts.length - MOST_TOKENS, "more token")}`,
      () => rest.replaceWith(...parts.slice(MOST_TOKENS).map(token)),
      { class: "more" },
    );
    fill(view, [rest]);
  }
  return make(
    "div",
    { class: "token-part" },
    make("p", { class: "about" }, tokenWords(turn, logprobs, why)),
    view,
  );
}

function maskReason(rollout, turn) {
  return rollout.masked ?? turn.masked;
}

function tokenWords({ tokens, parent }, logprobs, why) {
  const parts = [];
  if (tokens.keep) parts.push(`${count(tokens.keep)} ids as in turn ${parent ?? "?"}`);
  parts.push(
    tokens.prompt === null ? "prompt ids not given" : `${count(tokens.prompt)} new in the prompt`,
    `${count(tokens.answer)} sampled`,
  );
  if (logprobs?.length) {
    const mean = logprobs.reduce((sum, each) => sum + each, 0) / logprobs.length;
    const least = logprobs.reduce((low, each) => Math.min(low, each), Infinity);
    // Adding 0 makes 0 of -0, which a server may report for a certain token.
    parts.push(`mean logprob ${number(mean + 0)}`, `lowest ${number(least + 0)}`);
  } else if (tokens.answer) parts.push("no logprobs");
  if (why) parts.push(make("span", { class: "warn" }, `not trained on: ${why}`));
  return parts.flatMap((part, at) => (at ? [" · ", part] : [part]));
}

function token(each) {
  const text = pieceOf(each.id);
  const node = make(
    "span",
    { class: `token ${kindOf(each)}` },
    text === null ? String(each.id) : seenPiece(text),
  );
  node.token = each;
  return node;
}

/** The text of an id, where the report was made with its tokenizer. */
function pieceOf(id) {
  return report.pieces && Object.hasOwn(report.pieces, id) ? report.pieces[id] : null;
}

/** A piece with its line breaks and tabs as signs; spaces stand as they are. */
function seenPiece(text) {
  return text.replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
}

function kindOf(each) {
  if (!each.sampled) return "given";
  const masked = each.why ? " masked" : "";
  if (each.logprob === undefined) return `unknown${masked}`;
  const step = STEPS.findIndex((end) => -each.logprob <= end);
  return `p${step < 0 ? STEPS.length : step}${masked}`;
}

function tokenTip(each) {
  const text = pieceOf(each.id);
  const lines = [`id ${each.id}${text === null ? "" : ` ${plainly(JSON.stringify(text))}`}`];
  if (each.sampled && each.logprob !== undefined) {
    lines.push(`logprob ${each.logprob || 0} · probability ${Math.exp(each.logprob).toPrecision(2)}`);
  } else if (each.sampled) lines.push("the server gave no logprob");
  lines.push(each.why ? `mask 0: ${each.why}` : "mask 1: sampled by the policy");
  return lines.join("\n");
}

function legend() {
  const steps = ["≥ 0.9", "0.7", "0.5", "0.3", "0.1", "0.03", "0.01", "less"];
  return make(
    "p",
    { class: "legend" },
    make("span", { class: "token given" }, "given"),
    " mask 0   ",
    make("span", { class: "faint" }, "sampled, by probability "),
    steps.map((label, at) => make("span", { class: `token p${at}` }, label)),
    make("span", { class: "token unknown" }, "no logprob"),
    make("span", { class: "token p1 masked" }, "struck: not trained on"),
  );
}

/** One tip for all tokens: beside the one that the pointer is on. */
function watchTokens() {
  const tip = document.getElementById("tip");
  document.addEventListener("pointerover", (heard) => {
    const each = heard.target.token;
    tip.hidden = !each;
    if (!each) return;
    tip.textContent = tokenTip(each);
    const place = heard.target.getBoundingClientRect();
    tip.style.left = `${Math.min(place.left, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${place.bottom + tip.offsetHeight + 8 > innerHeight ? place.top - tip.offsetHeight - 6 : place.bottom + 6}px`;
  });
}
