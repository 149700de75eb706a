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

/** The curves of one kind, "loss" or "accuracy": of one run both, of several the evaluation's. */
function logSeries(what) {
  const evaluation = `eval_${what}`;
  const training = `train_${what}`;
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

/** A chart that is drawn anew when the choice or its width changes, and a line that reads it out. */
function liveChart(holder, specify) {
  const title = element("h3");
  const canvas = element("div", { class: "canvas" });
  const line = element("p", { class: "readout" });
  holder.replaceChildren(title, canvas, line);
  let spec = null;
  let setCursor = null;
  const read = () => {
    if (setCursor) setCursor(view.time);
    if (!spec) return;
    const only = onlyRun();
    const now = view.time !== null && only ? readOut(spec.series, view.time, spec.nameOf) : "";
    line.textContent = now ? `${timeInWords(view.time)}: ${now}.` : howMany(spec.series);
  };
  const draw = () => {
    if (!canvas.clientWidth) return;
    spec = specify();
    title.textContent = spec.title;
    setCursor = drawChart(canvas, spec);
    read();
  };
  whenSized(canvas, draw);
  onChange((changes) => {
    if ("seeds" in changes || "metric" in changes) draw();
    else read();
  });
}

function convergenceOf(run) {
  return run && run.converged && run.converged.yes ? run.converged.time : null;
}

function whose() {
  const only = onlyRun();
  return only ? `seed ${only.seed}` : plural(chosenRuns().length, "run");
}

function startCurves() {
  const holder = document.getElementById("curves-live");
  if (!holder) return;
  for (const what of ["loss", "accuracy"]) {
    const columns = [`eval_${what}`, `train_${what}`];
    if (!data.runs.some((run) => run.log && columns.some((name) => run.log.curves[name]))) continue;
    const part = element("div", { class: "live", "data-chart": what });
    holder.append(part);
    liveChart(part, () => {
      const series = logSeries(what);
      const crosses = columns.includes(data.crossing.column) ? data.crossing.threshold : null;
      return {
        series,
        height: 150,
        log: what === "loss",
        bands: onlyRun(),
        level: crosses,
        moment: convergenceOf(onlyRun()),
        title: `${what[0].toUpperCase()}${what.slice(1)} of ${whose()}`,
        words: `${what} of ${whose()}, coloured by state`,
        nothing: `This page has no ${what} of what is chosen.`,
        nameOf: (one) => CURVE_WORDS[one.name],
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
  liveChart(holder, () => {
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
      bands: only,
      level: 0,
      moment: convergenceOf(only),
      title: `${symbol} of ${whose()}`,
      words: `${symbol} of ${whose()} over training, coloured by state`,
      nothing: "This page has no metrics of what is chosen.",
      nameOf: () => symbol,
    };
  });
}
