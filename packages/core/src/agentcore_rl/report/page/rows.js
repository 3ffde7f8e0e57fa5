// What the page carries: the index at once, transcripts when they are opened.

function inflated(id) {
  const bytes = unpacked(document.getElementById(id).textContent);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream);
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";
const VALUES = new Uint8Array(128);
for (let at = 0; at < DIGITS.length; at++) VALUES[DIGITS.charCodeAt(at)] = at;

/** The bytes that a text in base 85 (RFC 1924's digits, a comma for `<`) stands for: four for five digits. */
function unpacked(text) {
  const bytes = new Uint8Array(Math.floor((text.length * 4) / 5));
  for (let from = 0, to = 0; from < text.length; from += 5, to += 4) {
    let value = 0;
    for (let at = from; at < from + 5; at++) {
      value = value * 85 + (at < text.length ? VALUES[text.charCodeAt(at)] : 84);
    }
    // Beyond the end of `bytes` nothing is written.
    bytes[to] = value >>> 24;
    bytes[to + 1] = value >>> 16;
    bytes[to + 2] = value >>> 8;
    bytes[to + 3] = value;
  }
  return bytes;
}

/** The table's columns, and what is told of the runs. */
const report = { runs: [], columns: {}, names: {}, rows: 0 };

async function readIndex() {
  const told = await inflated("index").json();
  const { index, ...about } = told;
  const names = {
    tool: [],
    kind: [],
    cause: [],
    stop: [],
    suspect: [],
    framework: [],
    model: [],
    error: [],
    ...index.names,
  };
  Object.assign(report, about, { columns: index.columns, names, rows: index.rows });
}

/** Name of a rollout's cause, model, ...; null where it has none. */
function nameOf(kind, row, column = kind) {
  const index = report.columns[column][row];
  return index < 0 ? null : report.names[kind][index];
}

function rowOf(run, id) {
  const { columns } = report;
  for (let row = 0; row < report.rows; row++) {
    if (columns.id[row] === id && (!run || report.runs[columns.run[row]].id === run)) return row;
  }
  return -1;
}

const opened = new Map(); // chunk -> texts of its rollouts; the oldest goes first
const KEPT_CHUNKS = 6;

async function transcriptOf(row) {
  const chunk = report.columns.chunk[row];
  if (chunk < 0) return null;
  return JSON.parse((await chunkTexts(chunk))[report.columns.place[row]]);
}

async function chunkTexts(chunk) {
  if (!opened.has(chunk)) {
    await whole();
    if (opened.size >= KEPT_CHUNKS) opened.delete(opened.keys().next().value);
    opened.set(chunk, (await inflated(`chunk-${chunk}`).text()).split("\x1e").slice(1));
  }
  return opened.get(chunk);
}

/** The chunks stand behind this script: the browser may still be reading them. */
function whole() {
  if (document.readyState !== "loading") return Promise.resolve();
  return new Promise((then) => document.addEventListener("DOMContentLoaded", then, { once: true }));
}

const columnsOf = new Map(); // chunk -> its token ids and logprobs

/** The tokens of a chunk, as in blocks.py: bytes of one kind stand side by side. */
async function tokensOfChunk(chunk) {
  if (!columnsOf.has(chunk)) {
    await whole();
    const bytes = document.getElementById(`tokens-${chunk}`)
      ? new Uint8Array(await inflated(`tokens-${chunk}`).arrayBuffer())
      : new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    const [ids, surprises] = [view.getUint32(0, true), view.getUint32(4, true)];
    if (columnsOf.size >= KEPT_CHUNKS) columnsOf.delete(columnsOf.keys().next().value);
    const last = 8 + 4 * ids;
    columnsOf.set(chunk, {
      ids: Uint32Array.from({ length: ids }, (_, at) => {
        const byte = (place) => bytes[8 + place * ids + at];
        return (byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24)) >>> 0;
      }),
      surprises: bytes.subarray(last, last + surprises),
    });
  }
  return columnsOf.get(chunk);
}

/** What a logprob's byte stands for (SURPRISES in blocks.py). */
function logprobOf(byte) {
  if (byte <= 100) return -byte / 1000;
  if (byte <= 190) return -(byte - 90) / 100;
  return byte <= 240 ? -(byte - 180) / 10 : -(byte - 234);
}

/** Of each turn: its ids, given and sampled, and logprobs (null where the server gave none). */
function tokensByTurn(rollout, columns) {
  let [id, logprob] = rollout.tokens_at;
  const found = new Map();
  for (const { id: turn, tokens } of rollout.turns) {
    if (!tokens) continue;
    const sampled = id + (tokens.prompt ?? 0);
    const end = sampled + tokens.answer;
    let { logprobs } = tokens;
    if (logprobs === true) {
      logprobs = Array.from(columns.surprises.subarray(logprob, logprob + tokens.answer), logprobOf);
      logprob += tokens.answer;
    }
    const { ids } = columns;
    found.set(turn, { given: ids.subarray(id, sampled), sampled: ids.subarray(sampled, end), logprobs });
    id = end;
  }
  return found;
}
