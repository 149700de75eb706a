// The bar above the map: which runs, which point of training; and the switch between light and dark.

const MOST_ROUTES = 30;
const LONGEST_NAME = 60;
const FRAMES = 150;

function cut(text) {
  return text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME - 1)}…` : text;
}

function runName(run) {
  let text = `seed ${run.seed}`;
  if (run.converged) text += run.converged.yes ? `, ${run.converged.text}` : ", not converged";
  return run.outlier ? `${text}, outlier` : text;
}

function fillChooser(chooser) {
  const group = (label, options) => {
    const node = element("optgroup", { label });
    for (const [value, text] of options) node.append(element("option", { value, text }));
    if (options.length) chooser.append(node);
  };
  const some = data.runs.length < data.n_runs;
  chooser.append(element("option", { value: "all", text: `all ${plural(data.runs.length, "run")}${some ? ` shown, of ${data.n_runs}` : ""}` }));
  chooser.append(element("option", { value: "map", text: "chosen on the map", hidden: "" }));
  chooser.append(element("option", { value: "seeds", text: "chosen seeds", hidden: "" }));
  const routes = data.routes.slice(0, MOST_ROUTES);
  group("Runs that go the same way", routes.map((route, i) => [`route ${i}`, cut(`${route.name} (${plural(route.n_runs, "run")})`)]));
  if (data.outliers.length) group("Outliers", [["outliers", `all ${plural(data.outliers.length, "outlier run")}`]]);
  group("Fast, median and slow", data.featured.map((one) => [`run ${one.seed}`, `${one.name}: seed ${one.seed}`]));
  group("Runs, the fastest first", data.runs.map((run) => [`run ${run.seed}`, runName(run)]));
}

function choose(kind) {
  const [what, which] = kind.split(" ");
  if (what === "run") chooseRun(Number(which));
  else if (what === "route") chooseRoute(Number(which));
  else if (what === "outliers") chooseOutliers();
  else chooseAll();
}

function startChooser() {
  const chooser = document.getElementById("choose");
  fillChooser(chooser);
  chooser.addEventListener("change", () => choose(chooser.value));
  const all = document.getElementById("show-all");
  all.addEventListener("click", () => {
    chooseAll();
    chooser.focus();
  });
  const chosen = document.getElementById("chosen");
  onChange((changes) => {
    if (!("seeds" in changes)) return;
    // A choice may be in the list twice, and "fast, median and slow" is no choice of its own.
    if (chooser.value !== view.kind) chooser.value = view.kind;
    all.classList.toggle("away", view.seeds === null);
    chosen.textContent = view.words;
  });
}

/** A field for seeds: one to choose, two to compare, or more. */
function startSeeds() {
  const field = document.getElementById("seeds");
  const read = () => {
    const text = field.value.trim();
    const known = text ? chooseSeeds(readSeeds(text)) : false;
    field.setCustomValidity(text && !known ? "There is no run of this seed." : "");
    if (text) field.reportValidity();
  };
  field.addEventListener("change", read);
  field.addEventListener("input", () => field.setCustomValidity(""));
  onChange((changes) => {
    if ("seeds" in changes) field.value = view.seeds && view.seeds.size <= 12 ? [...view.seeds].join(", ") : "";
  });
}

/** The times that the slider stops at: all checkpoints of all runs. */
function sliderTimes() {
  const times = new Set();
  for (const axis of new Set(data.runs.map((run) => run.axis))) {
    for (const time of axes[axis]) times.add(time);
  }
  return Float64Array.from(times).sort();
}

function whereInWords(time) {
  const counts = countsAt(time);
  const states = [...counts.keys()].sort((a, b) => a - b);
  const only = onlyRun();
  if (only) return states.length ? `in state ${states[0]}` : "not begun";
  return states.map((state) => `${counts.get(state)} in state ${state}`).join(", ");
}

function convergedInWords(time) {
  const runs = chosenRuns().filter((run) => run.converged);
  if (!runs.length) return "";
  const n = runs.filter((run) => run.converged.yes && run.converged.time <= time).length;
  return `: ${n} of ${runs.length} converged`;
}

function startSlider() {
  const slider = document.getElementById("time");
  const told = document.getElementById("time-told");
  const times = sliderTimes();
  slider.max = String(times.length - 1);
  slider.value = slider.max;
  slider.addEventListener("input", () => change({ time: times[Number(slider.value)] }));
  const whole = document.getElementById("whole");
  whole.addEventListener("click", () => {
    change({ time: null });
    slider.focus();
  });
  const tell = () => {
    whole.classList.toggle("away", view.time === null);
    if (view.time === null) {
      slider.value = slider.max;
      told.textContent = "whole training";
      slider.setAttribute("aria-valuetext", "whole training");
      return;
    }
    const index = String(Math.max(0, lastAtMost(times, view.time)));
    if (slider.value !== index) slider.value = index;
    const where = `${timeInWords(view.time)}: ${whereInWords(view.time)}`;
    const only = onlyRun();
    told.textContent = only ? where : `${timeInWords(view.time)}${convergedInWords(view.time)}`;
    slider.setAttribute("aria-valuetext", where);
  };
  onChange((changes) => {
    if ("time" in changes || "seeds" in changes) tell();
  });
  tell();
  startPlaying(slider, times);
}

function startPlaying(slider, times) {
  const button = document.getElementById("play");
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "▶";
    button.setAttribute("aria-label", "Play training");
  };
  const step = Math.max(1, Math.round(times.length / FRAMES));
  const advance = () => {
    const next = Number(slider.value) + step;
    change({ time: times[Math.min(next, times.length - 1)] });
    if (next >= times.length - 1) stop();
  };
  button.addEventListener("click", () => {
    if (timer !== null) {
      stop();
      return;
    }
    if (Number(slider.value) >= times.length - 1) change({ time: times[0] });
    button.textContent = "❚❚";
    button.setAttribute("aria-label", "Pause");
    timer = setInterval(advance, 80);
  });
  slider.addEventListener("pointerdown", stop);
  slider.addEventListener("keydown", stop);
  document.getElementById("whole").addEventListener("click", stop);
  stop();
}

const THEMES = ["", "light", "dark"];

function startTheme() {
  const button = document.getElementById("theme");
  const show = () => {
    document.documentElement.style.colorScheme = view.theme;
    button.textContent = `Colours: ${view.theme || "as the system"}`;
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    change({ theme: THEMES[(THEMES.indexOf(view.theme) + 1) % THEMES.length] });
  });
  onChange((changes) => {
    if ("theme" in changes) show();
  });
  show();
}

/** Buttons in the tables of routes and of outliers. */
function startPicks() {
  const add = (selector, there, label, pick) => {
    for (const row of document.querySelectorAll(selector)) {
      if (!there(row)) continue; // of many runs, none of these is on the page
      const button = element("button", { type: "button", class: "pick", text: "show" });
      button.setAttribute("aria-label", label(row));
      button.addEventListener("click", () => {
        pick(row);
        document.getElementById("map").scrollIntoView();
      });
      row.querySelector(".pick-cell").append(button);
    }
  };
  const route = (row) => data.routes.findIndex((one) => one.row === Number(row.dataset.route));
  add("tr[data-route]", (row) => route(row) >= 0, (row) => `Show the runs that go ${data.routes[route(row)].name}`, (row) => chooseRoute(route(row)));
  add("tr[data-seed]", (row) => runOf.has(Number(row.dataset.seed)), (row) => `Show seed ${row.dataset.seed}`, (row) => chooseRun(Number(row.dataset.seed)));
}
