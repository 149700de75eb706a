// A chart over training time: axes, curves coloured by state, and a cursor that follows the slider.

const MARGIN = { left: 50, right: 12, top: 10, bottom: 30 };
const STRIP = 18;
// Ratio of largest to smallest loss from which a logarithmic axis shows more, and its decades.
const LOG_FROM = 20;
const MOST_DECADES = 4;

/** Round numbers from `low` to `high`, about `count` of them. */
function roundTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) ticks.push(i * step);
  return ticks;
}

function extentOf(series) {
  let low = Infinity;
  let high = -Infinity;
  let leastPositive = Infinity;
  for (const { values } of series) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
      if (value > 0 && value < leastPositive) leastPositive = value;
    }
  }
  return { low, high, leastPositive };
}

/** From values to shares of the height, 0 below; logarithmic where that shows more of a loss. */
function valueScale(series, mayBeLog) {
  let { low, high, leastPositive } = extentOf(series);
  if (low > high) return null;
  if (mayBeLog && low >= 0 && leastPositive < Infinity && high / leastPositive >= LOG_FROM) {
    return logScale(low, high, leastPositive);
  }
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  low -= room;
  high += room;
  const share = (value) => (value - low) / (high - low);
  return { share, ticks: roundTicks(low, high, 4).map((tick) => [share(tick), tickText(tick)]) };
}

/** Decades; what is 0 lies half a decade below the smallest of them. */
function logScale(low, high, leastPositive) {
  const top = Math.log10(high) + 0.1;
  const highest = Math.ceil(Math.log10(high));
  const lowest = Math.max(Math.floor(Math.log10(leastPositive)), highest - MOST_DECADES);
  const bottom = low === 0 || leastPositive < 10 ** lowest ? lowest - 0.5 : lowest;
  const logOf = (value) => (value > 0 ? Math.max(Math.log10(value), bottom) : bottom);
  const share = (value) => (logOf(value) - bottom) / (top - bottom);
  const ticks = low === 0 ? [[0, "0"]] : [];
  for (let power = lowest; power <= top; power += 1) ticks.push([share(10 ** power), tickText(10 ** power)]);
  return { share, ticks };
}

function tickText(number) {
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 1e6) return `${Number((number / 1e6).toPrecision(3))}M`.replace("-", "−");
  if (size >= 1e4) return `${Number((number / 1e3).toPrecision(4))}k`.replace("-", "−");
  if (size < 1e-3) return number.toExponential(0).replaceAll("-", "−");
  return Number(number.toPrecision(4)).toLocaleString("en").replace("-", "−");
}

/** Which points to draw: all, or of too many for the width the extremes of each small stretch. */
function pointsToDraw(values, width) {
  const kept = [];
  const size = Math.max(1, Math.floor(values.length / (2 * width)));
  for (let start = 0; start < values.length; start += size) {
    let least = -1;
    let most = -1;
    for (let i = start; i < Math.min(start + size, values.length); i += 1) {
      if (!Number.isFinite(values[i])) continue;
      if (least < 0 || values[i] < values[least]) least = i;
      if (most < 0 || values[i] > values[most]) most = i;
    }
    if (least >= 0) kept.push(Math.min(least, most));
    if (least !== most) kept.push(Math.max(least, most));
  }
  return kept;
}

/** A curve as one path for each state that the run is in; pieces reach to the next one's start. */
function curvePaths(one, frame, paths) {
  const begins = one.run.starts.map((start) => one.run.times[start]);
  let state = null;
  let path = "";
  for (const i of pointsToDraw(one.values, frame.width)) {
    const x = frame.x(one.times[i]).toFixed(1);
    const y = frame.y(one.values[i]).toFixed(1);
    const now = one.run.states[Math.max(0, lastAtMost(begins, one.times[i]))];
    if (now === state) {
      path += `L${x} ${y}`;
      continue;
    }
    if (state !== null) paths.set(state, `${paths.get(state) || ""}${path}L${x} ${y}`);
    state = now;
    path = `M${x} ${y}`;
  }
  if (state !== null) paths.set(state, `${paths.get(state) || ""}${path}`);
}

function drawCurves(group, series, frame, className) {
  const paths = new Map();
  for (const one of series) curvePaths(one, frame, paths);
  for (const [state, path] of paths) {
    const node = drawn("path", { d: path, class: className, "data-state": state });
    node.style.stroke = colourOf(state);
    group.append(node);
  }
}

/** The states of one run as a strip above the curves, and as bands behind them. */
function drawBands(group, run, frame) {
  for (const stay of stays(run)) {
    const x = frame.x(stay.from);
    const width = Math.max(frame.x(Math.min(stay.to, lastTime)) - x, 0.6);
    const at = { x: x.toFixed(1), width: width.toFixed(1), "data-state": stay.state };
    const band = drawn("rect", { ...at, y: MARGIN.top + STRIP, height: frame.height, class: "band" });
    const strip = drawn("rect", { ...at, y: MARGIN.top, height: STRIP - 4 });
    band.style.fill = colourOf(stay.state);
    strip.style.fill = colourOf(stay.state);
    group.append(band, strip);
    if (width < 13) continue;
    const number = drawn("text", { x: x + width / 2, y: MARGIN.top + 11, "text-anchor": "middle", class: "number", text: stay.state });
    number.style.fill = `var(--t${stay.state % 12})`;
    group.append(number);
  }
}

function drawAxes(group, frame, scale) {
  const bottom = frame.top + frame.height;
  for (const [share, text] of scale.ticks) {
    const y = bottom - share * frame.height;
    if (y < frame.top - 1 || y > bottom + 1) continue;
    group.append(
      drawn("line", { x1: MARGIN.left, x2: MARGIN.left + frame.width, y1: y, y2: y, class: "grid" }),
      drawn("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end", text }),
    );
  }
  drawTimeAxis(group, frame, bottom);
}

function drawTimeAxis(group, frame, bottom) {
  for (const tick of roundTicks(firstTime, lastTime, frame.width / 110)) {
    const x = frame.x(tick);
    const late = x > MARGIN.left + frame.width - 20;
    group.append(
      drawn("line", { x1: x, x2: x, y1: bottom, y2: bottom + 4, class: "tick" }),
      drawn("text", { x: late ? MARGIN.left + frame.width + 8 : x, y: bottom + 16, "text-anchor": late ? "end" : "middle", text: tickText(tick) }),
    );
  }
  group.append(
    drawn("line", { x1: MARGIN.left, x2: MARGIN.left + frame.width, y1: bottom, y2: bottom, class: "axis" }),
    drawn("text", { x: MARGIN.left, y: bottom + 28, class: "label", text: data.time }),
  );
}

/** Dragging or tapping over a chart moves the time, as the slider does. */
function followPointer(svg, frame) {
  const move = (event) => {
    const box = svg.getBoundingClientRect();
    const share = ((event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width) - MARGIN.left) / frame.width;
    change({ time: firstTime + Math.min(1, Math.max(0, share)) * (lastTime - firstTime) });
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button === 0) move(event);
  });
  svg.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) move(event);
  });
}

function frameOf(width, height, top) {
  const inner = Math.max(40, width - MARGIN.left - MARGIN.right);
  const span = lastTime - firstTime || 1;
  return { width: inner, height, top, x: (time) => MARGIN.left + ((time - firstTime) / span) * inner };
}

/**
 * Draw a chart into `holder` in place of what it has.
 *
 * @param spec.series curves: `run, times, values, className`
 * @param spec.bands the one run whose states stand behind the curves, or null
 * @param spec.log whether the values' axis may be logarithmic
 * @param spec.level a value to mark with a dotted line, or null
 * @param spec.moment a time to mark with a dotted line, or null
 * @returns what moves the cursor to a time, or null where there is nothing to draw
 */
function drawChart(holder, spec) {
  const scale = valueScale(spec.series, spec.log);
  if (!scale) {
    holder.replaceChildren(element("p", { class: "how", text: spec.nothing }));
    return null;
  }
  const top = MARGIN.top + (spec.bands ? STRIP : 8);
  const frame = frameOf(holder.clientWidth, spec.height, top);
  frame.y = (value) => top + (1 - scale.share(value)) * frame.height;
  const total = top + frame.height + MARGIN.bottom;
  const svg = drawn("svg", { class: "chart", viewBox: `0 0 ${holder.clientWidth} ${total}`, role: "img", "aria-label": spec.words });
  if (spec.bands) drawBands(svg, spec.bands, frame);
  drawAxes(svg, frame, scale);
  if (spec.level !== null) svg.append(drawn("line", { x1: MARGIN.left, x2: MARGIN.left + frame.width, y1: frame.y(spec.level), y2: frame.y(spec.level), class: "dotted" }));
  if (spec.moment !== null) svg.append(drawn("line", { x1: frame.x(spec.moment), x2: frame.x(spec.moment), y1: top, y2: top + frame.height, class: "dotted" }));
  for (const className of new Set(spec.series.map((one) => one.className))) {
    drawCurves(svg, spec.series.filter((one) => one.className === className), frame, className);
  }
  const cursor = drawn("line", { class: "cursor", y1: MARGIN.top, y2: top + frame.height, visibility: "hidden" });
  svg.append(cursor);
  followPointer(svg, frame);
  holder.replaceChildren(svg);
  return (time) => moveCursor(cursor, frame, time);
}

function moveCursor(cursor, frame, time) {
  cursor.setAttribute("visibility", time === null ? "hidden" : "visible");
  if (time === null) return;
  cursor.setAttribute("x1", frame.x(time));
  cursor.setAttribute("x2", frame.x(time));
}
