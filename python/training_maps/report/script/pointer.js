// What a chart does under the pointer: it tells of the nearest curve, moves the time, and zooms.

// How near to a curve the pointer must be to mean it, in pixels.
const NEAR = 30;
// What is dragged over less is a press, in pixels.
const LEAST_AREA = 8;

const WHOLE = () => ({ from: firstTime, to: lastTime, shares: [0, 1] });

function isZoomed(zoom) {
  return zoom.from !== firstTime || zoom.to !== lastTime || zoom.shares[0] !== 0 || zoom.shares[1] !== 1;
}

/** Where the pointer is, in the units of the drawing. */
function placeIn(svg, event) {
  const box = svg.getBoundingClientRect();
  const scale = svg.viewBox.baseVal.width / box.width;
  return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
}

/** The curve nearest to a place, and its checkpoint there; null where none is near. */
function nearestCurve(series, frame, at) {
  const time = frame.timeAt(at.x);
  let best = null;
  for (const one of series) {
    let index = lastAtMost(one.times, time);
    if (index + 1 < one.times.length && (index < 0 || one.times[index + 1] - time < time - one.times[index])) index += 1;
    if (index < 0 || !Number.isFinite(one.values[index])) continue;
    const away = Math.hypot(frame.y(one.values[index]) - at.y, Math.max(0, Math.abs(frame.x(one.times[index]) - at.x) - NEAR));
    if (away < NEAR && (best === null || away < best.away)) best = { one, index, away };
  }
  return best;
}

/** Tell of the curve that is pointed at: its run, what it is then, and the state. */
function hoverCurves(chart, spec) {
  const dot = drawn("circle", { r: 4, class: "dot", visibility: "hidden" });
  chart.svg.append(dot);
  const leave = () => {
    dot.setAttribute("visibility", "hidden");
    hideTip();
  };
  chart.svg.addEventListener("pointerleave", leave);
  chart.svg.addEventListener("pointermove", (event) => {
    const found = event.buttons ? null : nearestCurve(spec.series, chart.frame, placeIn(chart.svg, event));
    if (!found) {
      leave();
      return;
    }
    const { one, index } = found;
    const state = stateAt(one.run, one.times[index]);
    dot.setAttribute("cx", chart.frame.x(one.times[index]));
    dot.setAttribute("cy", chart.frame.y(one.values[index]));
    dot.setAttribute("visibility", "visible");
    const rows = [[spec.nameOf(one), inWords(one.values[index])]];
    if (state !== null) rows.push(["state", String(state)]);
    showTip(`Seed ${one.run.seed}, ${timeInWords(one.times[index])}`, rows, event.clientX, event.clientY);
  });
}

/** Dragging or tapping over a chart moves the time, as the slider does; with Shift, a press adds a run. */
function pressChart(chart, spec) {
  const move = (event) => change({ time: chart.frame.timeAt(placeIn(chart.svg, event).x) });
  chart.svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (event.shiftKey || event.ctrlKey || event.metaKey) {
      const found = nearestCurve(spec.series, chart.frame, placeIn(chart.svg, event));
      if (found) toggleRun(found.one.run.seed);
    } else move(event);
  });
  chart.svg.addEventListener("pointermove", (event) => {
    if (event.buttons & 1 && !event.shiftKey) move(event);
  });
}

/** Dragging marks an area, and `done` gets the zoom that shows it. */
function markArea(chart, done) {
  const { svg, frame } = chart;
  const area = drawn("rect", { class: "area", visibility: "hidden" });
  svg.append(area);
  svg.classList.add("marking");
  let start = null;
  const clamp = (at) => ({
    x: Math.min(Math.max(at.x, MARGIN.left), MARGIN.left + frame.width),
    y: Math.min(Math.max(at.y, frame.top), frame.top + frame.height),
  });
  const corners = (event) => {
    const end = clamp(placeIn(svg, event));
    return { x: Math.min(start.x, end.x), y: Math.min(start.y, end.y), width: Math.abs(end.x - start.x), height: Math.abs(end.y - start.y) };
  };
  svg.addEventListener("pointerdown", (event) => {
    start = clamp(placeIn(svg, event));
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!start) return;
    fill(area, { ...corners(event), visibility: "visible" }, []);
  });
  svg.addEventListener("pointerup", (event) => {
    if (!start) return;
    const box = corners(event);
    start = null;
    area.setAttribute("visibility", "hidden");
    if (box.width < LEAST_AREA || box.height < LEAST_AREA) return;
    const shareAt = (y) => frame.bottomShare + (1 - (y - frame.top) / frame.height) * (frame.topShare - frame.bottomShare);
    done({ from: frame.timeAt(box.x), to: frame.timeAt(box.x + box.width), box: [shareAt(box.y + box.height), shareAt(box.y)] });
  });
}

/** Half of the time that is shown, around the slider's time or the middle, and the values therein. */
function nearerZoom(zoom) {
  const half = (zoom.to - zoom.from) / 4;
  const within = view.time !== null && view.time >= zoom.from && view.time <= zoom.to;
  const middle = Math.min(Math.max(within ? view.time : (zoom.from + zoom.to) / 2, zoom.from + half), zoom.to - half);
  return { from: middle - half, to: middle + half, shares: [0, 1] };
}

/** The zoom to a marked area: the scale there is another, so the shares are found anew. */
function zoomToArea(spec, chart, area) {
  const values = area.box.map(chart.scale.valueAt);
  const scale = valueScale(spec.series, spec.log, area.from, area.to, spec.level);
  if (!scale) return null;
  const [bottom, top] = values.map(scale.share);
  return { from: area.from, to: area.to, shares: top - bottom > 1e-6 ? [bottom, top] : [0, 1] };
}
