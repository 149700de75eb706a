// The map: pointing at its parts, keys to walk on it, the lit path, and where runs are at a time.

const maps = [...document.querySelectorAll("#map svg.map")];

function nodeOf(map, state) {
  return map.querySelector(`.state-node[data-state="${state}"]`);
}

function describeState(state) {
  const fact = stateFacts.get(state);
  const rows = [...fact.rows];
  if (view.seeds) {
    const there = chosenRuns().filter((run) => run.visited.has(state)).length;
    rows.push(["of those chosen", `${there} of ${view.seeds.size}`]);
  }
  if (view.time !== null) {
    rows.push([`at ${timeInWords(view.time)}`, plural(countsAt(view.time).get(state) || 0, "run")]);
  }
  const marks = fact.marks.length ? ` (${fact.marks.join(", ")})` : "";
  return [`State ${state}${marks}`, rows];
}

function describeEdge(name) {
  const fact = edgeFacts.get(name);
  const rows = [...fact.rows];
  if (view.seeds) {
    const there = chosenRuns().filter((run) => run.edges.has(name)).length;
    rows.push(["of those chosen", `${there} of ${view.seeds.size}`]);
  }
  return [`${fact.from} → ${fact.to}`, rows];
}

/** Make a part of the map something to point at, to focus and to press. */
function makePart(node, label, describe, press) {
  node.querySelector("title")?.remove();
  node.setAttribute("role", "button");
  node.setAttribute("tabindex", "-1");
  node.setAttribute("aria-label", label);
  withTip(node, describe);
  node.addEventListener("click", press);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    press();
  });
}

function focusPart(map, node) {
  if (!node) return;
  map.querySelectorAll("[tabindex='0']").forEach((other) => other.setAttribute("tabindex", "-1"));
  node.setAttribute("tabindex", "0");
  node.focus();
}

/** Left and right walk over the states, up and down over the transitions that leave one. */
function walk(map, event) {
  const part = event.target.closest("[data-state], [data-edge]");
  const states = data.states.map((fact) => fact.state);
  if (!part) return;
  const at = Number(part.dataset.state ?? part.dataset.edge.split("-")[0]);
  const edges = data.edges.filter((edge) => edge.from === at).map((edge) => `${edge.from}-${edge.to}`);
  const ring = [null, ...edges];
  const on = ring.indexOf(part.dataset.edge ?? null);
  let next;
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    const step = event.key === "ArrowRight" ? 1 : -1;
    next = nodeOf(map, states[(states.indexOf(at) + step + states.length) % states.length]);
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const name = ring[(on + (event.key === "ArrowDown" ? 1 : -1) + ring.length) % ring.length];
    next = name === null ? nodeOf(map, at) : map.querySelector(`.edge[data-edge="${name}"]`);
  } else if (event.key === "Escape") {
    chooseAll();
  }
  if (!next) return;
  event.preventDefault();
  focusPart(map, next);
}

function addBadge(node) {
  const disc = node.querySelector(".disc");
  const [x, y, r] = ["cx", "cy", "r"].map((name) => Number(disc.getAttribute(name)));
  const mark = drawn("g", { class: "count", "aria-hidden": "true" });
  mark.append(
    drawn("rect", { x: x - 0.75 * r - 13, y: y - 0.8 * r - 8, width: 20, height: 13, rx: 6.5 }),
    drawn("text", { x: x - 0.75 * r - 3, y: y - 0.8 * r + 1.8, "text-anchor": "middle" }),
  );
  node.append(mark);
}

function prepareMap(map) {
  map.setAttribute("role", "group");
  for (const node of map.querySelectorAll(".edge")) {
    const name = node.dataset.edge;
    const label = `Transition ${name.replace("-", " to ")}`;
    makePart(node, label, () => describeEdge(name), () => chooseEdge(name));
  }
  for (const node of map.querySelectorAll(".state-node")) {
    const state = Number(node.dataset.state);
    makePart(node, `State ${state}`, () => describeState(state), () => chooseState(state));
    addBadge(node);
  }
  nodeOf(map, data.states[0].state).setAttribute("tabindex", "0");
  map.addEventListener("keydown", (event) => walk(map, event));
}

/** How many of the chosen runs are in each state at a time. */
function countsAt(time) {
  const counts = new Map();
  for (const run of chosenRuns()) {
    const state = stateAt(run, time);
    if (state !== null) counts.set(state, (counts.get(state) || 0) + 1);
  }
  return counts;
}

/** Light what the chosen runs use; the rest steps back. */
function lightPath() {
  const runs = chosenRuns();
  const states = new Set(runs.flatMap((run) => [...run.visited]));
  const edges = new Set(runs.flatMap((run) => [...run.edges]));
  for (const map of maps) {
    map.classList.toggle("lit", view.seeds !== null);
    for (const node of map.querySelectorAll("[data-edge]")) {
      node.classList.toggle("on", view.seeds !== null && edges.has(node.dataset.edge));
    }
    for (const node of map.querySelectorAll("[data-state]")) {
      node.classList.toggle("on", view.seeds !== null && states.has(Number(node.dataset.state)));
    }
  }
}

/** Write on each state how many of the chosen runs are in it at the time of the slider. */
function showCounts() {
  const counts = view.time === null ? new Map() : countsAt(view.time);
  for (const map of maps) {
    map.classList.toggle("timed", view.time !== null);
    for (const node of map.querySelectorAll(".state-node")) {
      const count = counts.get(Number(node.dataset.state)) || 0;
      node.classList.toggle("here", count > 0);
      node.querySelector(".count text").textContent = String(count);
    }
  }
}

function startMap() {
  maps.forEach(prepareMap);
  onChange((changes) => {
    if ("seeds" in changes) lightPath();
    if ("seeds" in changes || "time" in changes) showCounts();
  });
}
