// The page's data, and what is chosen: the runs that are shown and the point of training.
// All scripts of the page are one module; this one comes first.

const data = JSON.parse(document.getElementById("page-data").textContent);

function decode(text, Type) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Type(bytes.buffer);
}

const axes = data.axes.map((text) => decode(text, Float64Array));
const runOf = new Map(data.runs.map((run) => [run.seed, run]));
const stateFacts = new Map(data.states.map((fact) => [fact.state, fact]));
const edgeFacts = new Map(data.edges.map((fact) => [`${fact.from}-${fact.to}`, fact]));
const routeOf = new Map();
data.routes.forEach((route) => route.seeds.forEach((seed) => routeOf.set(seed, route)));

for (const run of data.runs) {
  run.times = axes[run.axis];
  run.edges = new Set(run.states.slice(1).map((state, i) => `${run.states[i]}-${state}`));
  run.visited = new Set(run.states);
}

const lastTime = data.runs.reduce((last, run) => Math.max(last, run.times[run.times.length - 1]), 0);
const firstTime = data.runs.reduce((first, run) => Math.min(first, run.times[0]), lastTime);

/** Index of the last of the ascending numbers that is not above `value`; -1 if there is none. */
function lastAtMost(numbers, value) {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The state that a run is in at its checkpoint `index`. */
function stateOfCheckpoint(run, index) {
  return run.states[lastAtMost(run.starts, index)];
}

/** The state of a run at a time: that of its last checkpoint so far; null before its first. */
function stateAt(run, time) {
  const index = lastAtMost(run.times, time);
  return index < 0 ? null : stateOfCheckpoint(run, index);
}

/** When a run's stays begin and end: a stay lasts until the next begins. */
function stays(run) {
  const n = run.times.length;
  const last = n > 1 ? run.times[n - 1] - run.times[n - 2] : 1;
  return run.states.map((state, i) => ({
    state,
    from: run.times[run.starts[i]],
    to: i + 1 < run.starts.length ? run.times[run.starts[i + 1]] : run.times[n - 1] + last,
  }));
}

/** A number of any size in few characters, with a true minus. */
function inWords(number) {
  if (!Number.isFinite(number)) return "–";
  const size = Math.abs(number);
  let text;
  if (size !== 0 && (size < 0.001 || size >= 1e7)) text = number.toExponential(2);
  else if (size >= 100 || Number.isInteger(number)) text = Math.round(number).toLocaleString("en");
  else text = number.toPrecision(3);
  return text.replace("-", "−");
}

function timeInWords(time) {
  return `${data.time} ${Math.round(time).toLocaleString("en")}`;
}

function plural(number, noun) {
  return number === 1 ? `1 ${noun}` : `${number} ${noun}s`;
}

const GREATEST_LIST = 12;

function listing(items) {
  const shown = items.slice(0, GREATEST_LIST).join(", ");
  return items.length > GREATEST_LIST ? `${shown} and ${items.length - GREATEST_LIST} more` : shown;
}

// What is chosen. `seeds` is null for all runs; `time` is null until somebody moves the slider.
const view = { kind: "all", seeds: null, words: "", time: null, metric: 0, theme: "" };
const listeners = [];

function onChange(listener) {
  listeners.push(listener);
}

function change(changes) {
  Object.assign(view, changes);
  for (const listener of listeners) listener(changes);
}

function chosenRuns() {
  return view.seeds ? data.runs.filter((run) => view.seeds.has(run.seed)) : data.runs;
}

function onlyRun() {
  return view.seeds && view.seeds.size === 1 ? runOf.get([...view.seeds][0]) : null;
}

function chooseAll() {
  change({ kind: "all", seeds: null, words: "" });
}

function chooseRun(seed) {
  const run = runOf.get(seed);
  if (!run) return;
  const route = routeOf.get(seed);
  const parts = [`Seed ${seed}${run.outlier ? ", an outlier run" : ""}`];
  if (route) parts.push(`: ${route.name}`);
  if (run.converged) parts.push(run.converged.yes ? `; converged at ${run.converged.text}` : "; did not converge");
  change({ kind: `run ${seed}`, seeds: new Set([seed]), words: `${parts.join("")}.` });
}

function chooseGroup(kind, seeds, does) {
  if (!seeds.length) return;
  if (seeds.length === 1) {
    chooseRun(seeds[0]);
    return;
  }
  change({ kind, seeds: new Set(seeds), words: `${plural(seeds.length, "run")} ${does}: seeds ${listing(seeds)}.` });
}

/** Any runs by their seeds: one as a press on its row does, two compared, none that are not there. */
function chooseSeeds(seeds) {
  const known = [...new Set(seeds)].filter((seed) => runOf.has(seed));
  if (!known.length) return false;
  if (known.length === 1) chooseRun(known[0]);
  else if (known.length === 2) change({ kind: "seeds", seeds: new Set(known), words: comparison(...known.map((seed) => runOf.get(seed))) });
  else change({ kind: "seeds", seeds: new Set(known), words: `${known.length} runs: seeds ${listing(known)}.` });
  return true;
}

/** Add a run to those chosen, or take it away. */
function toggleRun(seed) {
  const seeds = new Set(view.seeds ?? []);
  if (!seeds.delete(seed)) seeds.add(seed);
  if (seeds.size) chooseSeeds([...seeds]);
  else chooseAll();
}

/** Seeds as people type them: "3", "3, 7", "0-9". */
function readSeeds(text) {
  const seeds = [];
  for (const part of text.split(/[\s,;]+/)) {
    const range = /^(\d+)[-–](\d+)$/.exec(part);
    if (range) {
      for (const run of data.runs) if (run.seed >= Number(range[1]) && run.seed <= Number(range[2])) seeds.push(run.seed);
    } else if (/^\d+$/.test(part)) seeds.push(Number(part));
  }
  return seeds;
}

/** How two runs differ: where they part, when each converges, and how long they share a state. */
function comparison(a, b) {
  let i = 0;
  while (i < a.states.length && i < b.states.length && a.states[i] === b.states[i]) i += 1;
  const parts = [];
  if (i === a.states.length && i === b.states.length) parts.push("take the same route");
  else if (i === 0) parts.push(`begin in states ${a.states[0]} and ${b.states[0]}`);
  else {
    const [to, other] = [a, b].map((run) => (i < run.states.length ? `goes on to ${run.states[i]}` : "ends there"));
    parts.push(`part after state ${a.states[i - 1]}: seed ${a.seed} ${to}, seed ${b.seed} ${other}`);
  }
  const shared = a.times.filter((time, index) => stateAt(b, time) === stateOfCheckpoint(a, index)).length;
  parts.push(`in the same state for ${Math.round((100 * shared) / a.times.length)} % of the checkpoints`);
  const when = (run) => (run.converged.yes ? run.converged.text : "never");
  if (a.converged && b.converged) parts.push(`converged at ${when(a)} and ${when(b)}`.replace("at never", "never"));
  return `Seeds ${a.seed} and ${b.seed} ${parts.join("; ")}.`;
}

function chooseRoute(index) {
  const route = data.routes[index];
  chooseGroup(`route ${index}`, route.seeds, `that go ${route.name}`);
}

function chooseState(state) {
  const seeds = data.runs.filter((run) => run.visited.has(state)).map((run) => run.seed);
  chooseGroup("map", seeds, `that visit state ${state}`);
}

function chooseEdge(name) {
  const seeds = data.runs.filter((run) => run.edges.has(name)).map((run) => run.seed);
  chooseGroup("map", seeds, `that go from state ${name.replace("-", " to state ")}`);
}

function chooseOutliers() {
  chooseGroup("outliers", data.outliers, "that do not behave like the rest");
}
