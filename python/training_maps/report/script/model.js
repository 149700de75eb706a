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
const view = { kind: "all", seeds: null, words: "", time: null, metric: 0 };
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
