// A chart over training time: axes, curves coloured by state, and a cursor that follows the slider.

const MARGIN = { left: 50, right: 12, top: 10, bottom: 30 };
const STRIP = 18;
// So many chosen runs, or fewer, have their names beside their curves, and strips above them.
const MOST_NAMES = 6;
const MOST_STRIPS = 2;

/** Which points to draw: all, or of too many for the width the extremes of each small stretch. */
function pointsToDraw(times, values, frame) {
  const kept = [];
  const first = Math.max(0, lastAtMost(times, frame.from) - 1);
  const end = Math.min(values.length, lastAtMost(times, frame.to) + 2);
  const size = Math.max(1, Math.floor((end - first) / (2 * frame.width)));
  for (let start = first; start < end; start += size) {
    let least = -1;
    let most = -1;
    for (let i = start; i < Math.min(start + size, end); i += 1) {
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
  for (const i of pointsToDraw(one.times, one.values, frame)) {
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

/** The states of one run or two as strips above the curves, and of one as bands behind them. */
function drawBands(group, runs, frame) {
  const height = (STRIP - 4) / runs.length;
  runs.forEach((run, i) => {
    for (const stay of stays(run)) {
      const x = Math.max(frame.x(stay.from), MARGIN.left);
      const width = Math.max(Math.min(frame.x(Math.min(stay.to, lastTime)), MARGIN.left + frame.width) - x, 0);
      if (!width) continue;
      const at = { x: x.toFixed(1), width: Math.max(width, 0.6).toFixed(1), "data-state": stay.state };
      const strip = drawn("rect", { ...at, y: MARGIN.top + i * height, height: height - (runs.length > 1) });
      strip.style.fill = colourOf(stay.state);
      group.append(strip);
      if (runs.length > 1) continue;
      const band = drawn("rect", { ...at, y: MARGIN.top + STRIP, height: frame.height, class: "band" });
      band.style.fill = colourOf(stay.state);
      group.append(band);
      if (width >= 13) group.append(stripNumber(stay.state, x + width / 2));
    }
  });
}

function stripNumber(state, x) {
  const number = drawn("text", { x, y: MARGIN.top + 11, "text-anchor": "middle", class: "number", text: state });
  number.style.fill = `var(--t${state % 12})`;
  return number;
}

function drawAxes(group, frame, scale) {
  const bottom = frame.top + frame.height;
  for (const [share, text] of scale.ticks(frame.bottomShare, frame.topShare)) {
    const y = frame.yOfShare(share);
    if (y < frame.top - 1 || y > bottom + 1) continue;
    group.append(
      drawn("line", { x1: MARGIN.left, x2: MARGIN.left + frame.width, y1: y, y2: y, class: "grid" }),
      drawn("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end", text }),
    );
  }
  const cut = scale.cut === null ? -1 : frame.yOfShare(scale.cut);
  if (cut > frame.top && cut < bottom) {
    const d = `M${MARGIN.left - 5} ${cut + 4}l10 -4M${MARGIN.left - 5} ${cut + 8}l10 -4`;
    group.append(drawn("path", { d, class: "break" }));
  }
  drawTimeAxis(group, frame, bottom);
}

function drawTimeAxis(group, frame, bottom) {
  for (const tick of roundTicks(frame.from, frame.to, frame.width / 110)) {
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

/** The names of a few chosen runs where their curves end, pushed apart. */
function drawNames(group, series, frame) {
  const ends = series.filter((one) => !one.className.includes("dashed")).map((one) => {
    const i = lastAtMost(one.times, frame.to);
    return { text: `seed ${one.run.seed}`, y: Math.min(Math.max(frame.y(one.values[i]), frame.top + 8), frame.top + frame.height - 4) };
  });
  ends.sort((a, b) => a.y - b.y);
  ends.forEach((end, i) => {
    if (i) end.y = Math.max(end.y, ends[i - 1].y + 11);
    const at = { x: MARGIN.left + frame.width - 3, y: end.y - 5, "text-anchor": "end", class: "name" };
    group.append(drawn("text", { ...at, text: end.text }));
  });
}

function frameOf(width, height, top, from = firstTime, to = lastTime) {
  const inner = Math.max(40, width - MARGIN.left - MARGIN.right);
  const span = to - from || 1;
  return {
    width: inner, height, top, from, to,
    x: (time) => MARGIN.left + ((time - from) / span) * inner,
    timeAt: (x) => from + Math.min(1, Math.max(0, (x - MARGIN.left) / inner)) * span,
  };
}

/** The frame of a chart with its vertical axis, within what is zoomed to. */
function chartFrame(width, spec, scale, zoom) {
  const frame = frameOf(width, spec.height, MARGIN.top + STRIP, zoom.from, zoom.to);
  [frame.bottomShare, frame.topShare] = zoom.shares;
  frame.yOfShare = (share) => frame.top + (1 - (share - frame.bottomShare) / (frame.topShare - frame.bottomShare)) * frame.height;
  frame.y = (value) => frame.yOfShare(scale.share(value));
  return frame;
}

/** A drawing within the drawing, that shows nothing outside of the frame. */
function clipped(svg, frame) {
  const box = { x: MARGIN.left, y: frame.top - 1, width: frame.width, height: frame.height + 2 };
  const inside = drawn("svg", { ...box, viewBox: Object.values(box).join(" ") });
  svg.append(inside);
  return inside;
}

/**
 * Draw a chart into `holder` in place of what it has.
 *
 * @param spec.series curves: `run, times, values, className`
 * @param spec.bands the runs whose states stand above the curves, one or two, or none
 * @param spec.log whether the values' axis may be logarithmic
 * @param spec.level a value to mark with a dotted line, or null
 * @param spec.moment a time to mark with a dotted line, or null
 * @param zoom `from` and `to` in time, and `shares` of the height, from the bottom to the top
 * @returns `svg`, `frame`, `scale` and what moves the cursor to a time; null where nothing is drawn
 */
function drawChart(holder, spec, zoom) {
  const scale = valueScale(spec.series, spec.log, zoom.from, zoom.to, spec.level);
  if (!scale) {
    holder.replaceChildren(element("p", { class: "how", text: spec.nothing }));
    return null;
  }
  const frame = chartFrame(holder.clientWidth, spec, scale, zoom);
  const total = frame.top + frame.height + MARGIN.bottom;
  const svg = drawn("svg", { class: "chart", viewBox: `0 0 ${holder.clientWidth} ${total}`, role: "img", "aria-label": spec.words });
  drawBands(svg, spec.bands, frame);
  drawAxes(svg, frame, scale);
  const inside = clipped(svg, frame);
  if (spec.level !== null) inside.append(drawn("line", { x1: MARGIN.left, x2: MARGIN.left + frame.width, y1: frame.y(spec.level), y2: frame.y(spec.level), class: "dotted" }));
  if (spec.moment !== null) inside.append(drawn("line", { x1: frame.x(spec.moment), x2: frame.x(spec.moment), y1: frame.top, y2: frame.top + frame.height, class: "dotted" }));
  for (const className of new Set(spec.series.map((one) => one.className))) {
    drawCurves(inside, spec.series.filter((one) => one.className === className), frame, className);
  }
  if (view.seeds && view.seeds.size > 1 && view.seeds.size <= MOST_NAMES) drawNames(svg, spec.series, frame);
  const cursor = drawn("line", { class: "cursor", y1: MARGIN.top, y2: frame.top + frame.height, visibility: "hidden" });
  svg.append(cursor);
  holder.replaceChildren(svg);
  return { svg, frame, scale, setCursor: (time) => moveCursor(cursor, frame, time) };
}

function moveCursor(cursor, frame, time) {
  const shown = time !== null && time >= frame.from && time <= frame.to;
  cursor.setAttribute("visibility", shown ? "visible" : "hidden");
  if (!shown) return;
  cursor.setAttribute("x1", frame.x(time));
  cursor.setAttribute("x2", frame.x(time));
}
