// Loss, accuracy and metrics of what is chosen.

// More runs than these in one chart hide each other.
const MOST_CURVES = 60;

const CURVE_WORDS = {
  eval_loss: "evaluation loss",
  train_loss: "training loss",
  eval_accuracy: "evaluation accuracy",
  train_accuracy: "training accuracy",
};

/** The runs to draw of those chosen that have what it takes; evenly chosen if there are many. */
function runsToDraw(has) {
  const runs = chosenRuns().filter(has);
  if (runs.length <= MOST_CURVES) return runs;
  const step = (runs.length - 1) / (MOST_CURVES - 1);
  return Array.from({ length: MOST_CURVES }, (_, i) => runs[Math.round(i * step)]);
}

function curveOf(run, column) {
  run.log.decoded ??= {};
  run.log.decoded[column] ??= decode(run.log.curves[column], Float32Array);
  return { run, times: axes[run.log.axis], values: run.log.decoded[column] };
}

function metricOf(run, index) {
  run.metrics.decoded ??= [];
  run.metrics.decoded[index] ??= decode(run.metrics.values[index], Float32Array);
  return { run, times: axes[run.metrics.axis], values: run.metrics.decoded[index] };
}

/** The curves of one kind, such as "loss": of one run both, of several the evaluation's. */
function logSeries(columns) {
  const evaluation = columns[columns.length - 1];
  const training = columns.length > 1 ? columns[0] : undefined;
  const only = onlyRun();
  const series = [];
  const has = (run) => run.log && (run.log.curves[evaluation] || run.log.curves[training]);
  for (const run of runsToDraw(has)) {
    const curves = run.log.curves;
    if (curves[training] && (only || !curves[evaluation])) {
      series.push({ ...curveOf(run, training), name: training, className: "curve dashed" });
    }
    if (curves[evaluation]) {
      series.push({ ...curveOf(run, evaluation), name: evaluation, className: only ? "curve" : "curve thin" });
    }
  }
  return series;
}

/** What a chart's curves are at a time, for one run. */
function readOut(series, time, nameOf) {
  return series
    .map((one) => {
      const index = lastAtMost(one.times, time);
      return index < 0 ? "" : `${nameOf(one)} ${inWords(one.values[index])}`;
    })
    .filter(Boolean)
    .join(", ");
}

function howMany(series) {
  const drawnRuns = new Set(series.map((one) => one.run)).size;
  const chosen = chosenRuns().length;
  if (drawnRuns === chosen) return "";
  return `${drawnRuns} of ${plural(chosen, "run")} drawn.`;
}

/** The buttons of a chart: what part of it is shown, and saving it. */
function chartTools(chart) {
  const zoomTo = (zoom) => {
    chart.zoom = zoom;
    chart.draw();
  };
  const mark = toolButton("Mark an area", "Zoom: mark an area of the chart by dragging", () => {
    chart.marking = !chart.marking;
    chart.draw();
  });
  const nearer = toolButton("+", "Zoom in to half of the time", () => zoomTo(nearerZoom(chart.zoom)));
  const reset = toolButton("Reset zoom", "Show all of the chart again", () => zoomTo(WHOLE()));
  chart.tell = () => {
    mark.setAttribute("aria-pressed", String(chart.marking));
    reset.classList.toggle("away", !isZoomed(chart.zoom));
  };
  const csv = toolButton("CSV", "Save these curves as CSV", () => {
    saveCsv(curveRows(chart.spec.series, chart.zoom, chart.spec.nameOf), chart.spec.name);
  });
  const saving = saveButtons(chart.name, "this chart", () => chart.drawing?.svg);
  return element("p", { class: "tools" }, mark, nearer, reset, ...saving, csv);
}

/** A chart that is drawn anew when the choice or its width changes, and a line that reads it out. */
function liveChart(holder, name, specify) {
  const title = element("h3");
  const canvas = element("div", { class: "canvas" });
  const line = element("p", { class: "readout" });
  const chart = { name, spec: null, drawing: null, zoom: WHOLE(), marking: false };
  const read = () => {
    chart.drawing?.setCursor(view.time);
    if (!chart.spec) return;
    const only = onlyRun();
    const now = view.time !== null && only ? readOut(chart.spec.series, view.time, chart.spec.nameOf) : "";
    line.textContent = now ? `${timeInWords(view.time)}: ${now}.` : howMany(chart.spec.series);
  };
  chart.draw = () => {
    if (!canvas.clientWidth) return;
    const spec = specify();
    Object.assign(chart, { spec: { ...spec, name } });
    title.textContent = spec.title;
    chart.drawing = drawChart(canvas, spec, chart.zoom);
    if (chart.drawing) listenTo(chart);
    chart.tell();
    read();
  };
  holder.replaceChildren(title, canvas, element("div", { class: "under" }, line, chartTools(chart)));
  whenSized(canvas, chart.draw);
  onChange((changes) => {
    if ("metric" in changes) chart.zoom.shares = [0, 1];
    if ("seeds" in changes || "metric" in changes) chart.draw();
    else read();
  });
}

/** Let the pointer tell, move the time and zoom. */
function listenTo(chart) {
  const { drawing, spec } = chart;
  hoverCurves(drawing, spec);
  drawing.svg.addEventListener("dblclick", () => {
    chart.zoom = WHOLE();
    chart.draw();
  });
  if (!chart.marking) {
    pressChart(drawing, spec);
    return;
  }
  markArea(drawing, (area) => {
    chart.zoom = zoomToArea(spec, drawing, area) ?? chart.zoom;
    chart.marking = false;
    chart.draw();
  });
}

function convergenceOf(run) {
  return run && run.converged && run.converged.yes ? run.converged.time : null;
}

function whose() {
  const only = onlyRun();
  if (only) return `seed ${only.seed}`;
  const runs = chosenRuns();
  return view.seeds && runs.length <= MOST_NAMES ? `seeds ${listing(runs.map((run) => run.seed))}` : plural(runs.length, "run");
}

/** The runs whose states stand above their curves. */
function banded() {
  return view.seeds && view.seeds.size <= MOST_STRIPS ? chosenRuns() : [];
}

/** What a chart shows, in words, for who does not see it. */
function inShort(what, series) {
  const { low, high } = extentOf(series, firstTime, lastTime);
  if (low > high) return `${what} of ${whose()}`;
  const ends = series.map((one) => one.values[one.values.length - 1]).filter(Number.isFinite).sort((a, b) => a - b);
  const last = ends.length ? `; at the end ${inWords(ends[0])}${ends.length > 1 ? ` to ${inWords(ends[ends.length - 1])}` : ""}` : "";
  const where = `${what} of ${whose()} from ${timeInWords(firstTime)} to ${Math.round(lastTime).toLocaleString("en")}`;
  return `${where}, coloured by state: from ${inWords(low)} to ${inWords(high)}${last}`;
}

function startCurves() {
  const holder = document.getElementById("curves-live");
  if (!holder) return;
  for (const { name: what, columns } of data.curves) {
    if (!data.runs.some((run) => run.log && columns.some((name) => run.log.curves[name]))) continue;
    const part = element("div", { class: "live", "data-chart": what });
    holder.append(part);
    liveChart(part, what, () => {
      const series = logSeries(columns);
      const crosses = columns.includes(data.crossing.column) ? data.crossing.threshold : null;
      return {
        series,
        height: 150,
        log: what === "loss",
        bands: banded(),
        level: crosses,
        moment: convergenceOf(onlyRun()),
        title: `${what[0].toUpperCase()}${what.slice(1)} of ${whose()}`,
        words: inShort(what, series),
        nothing: `This page has no ${what} of what is chosen.`,
        nameOf: (one) => CURVE_WORDS[one.name] ?? one.name,
      };
    });
  }
}

function startMetrics() {
  const holder = document.getElementById("metrics-live");
  if (!holder || !data.metrics.length) return;
  const chooser = document.getElementById("metric");
  data.metrics.forEach((metric, i) => {
    const text = metric.symbol === metric.column ? metric.column : `${metric.symbol}: ${metric.column}`;
    chooser.append(element("option", { value: String(i), text: cut(text) }));
  });
  chooser.addEventListener("change", () => change({ metric: Number(chooser.value) }));
  onChange((changes) => {
    if ("metric" in changes) chooser.value = String(view.metric);
  });
  liveChart(holder, "metric", () => {
    const only = onlyRun();
    const series = runsToDraw((run) => run.metrics).map((run) => ({
      ...metricOf(run, view.metric),
      className: only ? "curve" : "curve thin",
    }));
    const symbol = data.metrics[view.metric].symbol;
    return {
      series,
      height: 190,
      log: false,
      bands: banded(),
      level: 0,
      moment: convergenceOf(only),
      title: `${symbol} of ${whose()}`,
      words: inShort(symbol, series),
      nothing: "This page has no metrics of what is chosen.",
      nameOf: () => symbol,
    };
  });
}
