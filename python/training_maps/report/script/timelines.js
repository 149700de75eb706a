// All runs over time: a row a run, coloured by state. A row can be pressed; keys go up and down.

const ROWS_HEIGHT = 620;
const ROW_HEIGHTS = [3, 15];
const LABELS_FROM = 9;

function rowHeight() {
  const wanted = Math.floor(ROWS_HEIGHT / data.runs.length);
  return Math.min(ROW_HEIGHTS[1], Math.max(ROW_HEIGHTS[0], wanted));
}

/** The stays of all runs, a path for each state: few elements, however many runs there are. */
function drawStays(svg, frame, row) {
  const paths = new Map();
  const gap = row > 5 ? 1 : 0;
  data.runs.forEach((run, i) => {
    const y = frame.top + i * row;
    for (const stay of stays(run)) {
      const x = frame.x(stay.from);
      const width = Math.max(frame.x(Math.min(stay.to, lastTime)) - x, 0.5);
      const box = `M${x.toFixed(1)} ${y}h${width.toFixed(1)}v${row - gap}h${(-width).toFixed(1)}z`;
      paths.set(stay.state, (paths.get(stay.state) || "") + box);
    }
  });
  for (const [state, path] of paths) {
    const node = drawn("path", { d: path, "data-state": state });
    node.style.fill = colourOf(state);
    svg.append(node);
  }
}

function drawMarks(svg, frame, row) {
  const size = Math.min(4, Math.max(1.8, row / 3));
  data.runs.forEach((run, i) => {
    const y = frame.top + (i + 0.5) * row - 0.5;
    const when = convergenceOf(run);
    if (when !== null) {
      const x = frame.x(when);
      svg.append(drawn("path", { d: `M${x} ${y - size}l${size} ${size}-${size} ${size}-${size}-${size}z`, class: "converged" }));
    }
    if (run.outlier) {
      const x = MARGIN.left + frame.width + 3;
      svg.append(drawn("path", { d: `M${x} ${y}l7-4v8z`, class: "outlier" }));
    }
    if (row >= LABELS_FROM) {
      svg.append(drawn("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end", class: "seed", text: run.seed }));
    }
  });
}

function describeRun(run) {
  const rows = [];
  const route = routeOf.get(run.seed);
  if (route) rows.push(["route", cut(route.name)]);
  if (run.converged) rows.push(["converged", run.converged.yes ? run.converged.text : "no"]);
  if (view.time !== null) {
    const state = stateAt(run, view.time);
    rows.push([`at ${timeInWords(view.time)}`, state === null ? "not begun" : `state ${state}`]);
  }
  return [`Seed ${run.seed}${run.outlier ? " (outlier)" : ""}`, rows];
}

/** One transparent box a run, to point at and to press; the runs that are not chosen are veiled. */
function drawRows(svg, frame, row) {
  const rows = data.runs.map((run, i) => {
    const node = drawn("rect", {
      x: 0, y: frame.top + i * row, width: MARGIN.left + frame.width + MARGIN.right, height: row,
      class: "row", role: "option", id: `row-${run.seed}`, "data-seed": run.seed,
      "aria-label": `seed ${run.seed}`, "aria-selected": "false",
    });
    node.addEventListener("pointermove", (event) => {
      const [title, facts] = describeRun(run);
      showTip(title, facts, event.clientX, event.clientY);
    });
    return node;
  });
  svg.addEventListener("pointerleave", hideTip);
  svg.addEventListener("click", (event) => {
    const seed = event.target.dataset?.seed;
    if (seed === undefined) return;
    if (event.shiftKey || event.ctrlKey || event.metaKey) toggleRun(Number(seed));
    else chooseRun(Number(seed));
  });
  svg.append(...rows);
  return rows;
}

function markRows(list, rows) {
  for (const node of rows) {
    const chosen = view.seeds !== null && view.seeds.has(Number(node.dataset.seed));
    node.setAttribute("aria-selected", String(chosen));
    node.classList.toggle("veiled", view.seeds !== null && !chosen);
  }
  const only = onlyRun();
  if (only) list.setAttribute("aria-activedescendant", `row-${only.seed}`);
  else list.removeAttribute("aria-activedescendant");
}

/** Up and down choose the run before and after, Home and End the fastest and the slowest. */
function walkRows(list, event) {
  const only = onlyRun();
  const at = only ? data.runs.indexOf(only) : -1;
  const last = data.runs.length - 1;
  const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
  if (event.key === "Escape") chooseAll();
  if (to === undefined) return;
  event.preventDefault();
  chooseRun(data.runs[to].seed);
  document.getElementById(`row-${data.runs[to].seed}`).scrollIntoView({ block: "nearest" });
}

function startTimelines() {
  const list = document.getElementById("timelines-live");
  let setCursor = () => {};
  let rows = [];
  const draw = () => {
    if (!list.clientWidth) return;
    const row = rowHeight();
    const height = data.runs.length * row;
    const frame = frameOf(list.clientWidth, height, 4);
    const svg = drawn("svg", { class: "chart", viewBox: `0 0 ${list.clientWidth} ${height + 4 + MARGIN.bottom}`, role: "presentation" });
    drawStays(svg, frame, row);
    drawMarks(svg, frame, row);
    drawTimeAxis(svg, frame, frame.top + height);
    rows = drawRows(svg, frame, row);
    const cursor = drawn("line", { class: "cursor", y1: 0, y2: frame.top + height, visibility: "hidden" });
    svg.append(cursor);
    list.replaceChildren(svg);
    setCursor = (time) => moveCursor(cursor, frame, time);
    markRows(list, rows);
    setCursor(view.time);
  };
  list.addEventListener("keydown", (event) => walkRows(list, event));
  whenSized(list, draw);
  onChange((changes) => {
    if ("seeds" in changes) markRows(list, rows);
    if ("time" in changes) setCursor(view.time);
  });
}
