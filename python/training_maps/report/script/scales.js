// From values to shares of a chart's height, and the ticks that say what they are.

// Ratio of largest to smallest loss from which a logarithmic axis shows more, and its decades.
const LOG_FROM = 20;
const MOST_DECADES = 16;
const MOST_DECADE_LABELS = 7;
// Of the height of a logarithmic axis: where what is 0, or too small for the axis, lies apart.
const LANE = 0.09;

/** Round numbers from `low` to `high`, about `count` of them. */
function roundTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) ticks.push(i * step);
  return ticks;
}

function extentOf(series, from, to) {
  let low = Infinity;
  let high = -Infinity;
  let leastPositive = Infinity;
  for (const { times, values } of series) {
    for (let i = 0; i < values.length; i += 1) {
      const value = values[i];
      if (!Number.isFinite(value) || times[i] < from || times[i] > to) continue;
      if (value < low) low = value;
      if (value > high) high = value;
      if (value > 0 && value < leastPositive) leastPositive = value;
    }
  }
  return { low, high, leastPositive };
}

/**
 * The scale of the values within a stretch of time.
 *
 * @param mayBeLog whether it may be logarithmic, where that shows more
 * @param level a value that shall be within, or null
 * @returns `share` of a value, `valueAt` a share, `ticks` between two shares, and the share below
 *   which values are marked as cut off, or null; null where there are no values
 */
function valueScale(series, mayBeLog, from, to, level) {
  const found = extentOf(series, from, to);
  let { low, high } = found;
  if (low > high) return null;
  if (mayBeLog && low >= 0 && found.leastPositive < Infinity && high / found.leastPositive >= LOG_FROM) {
    return logScale(low, high, found.leastPositive);
  }
  if (level !== null && from === firstTime && to === lastTime) {
    low = Math.min(low, level);
    high = Math.max(high, level);
  }
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  low -= room;
  high += room;
  const share = (value) => (value - low) / (high - low);
  const valueAt = (part) => low + part * (high - low);
  const ticks = (bottom, top) => roundTicks(valueAt(bottom), valueAt(top), 4).map((tick) => [share(tick), tickText(tick)]);
  return { share, valueAt, ticks, cut: null };
}

/** All decades of the values; what is 0 lies below them, under a marked cut. */
function logScale(low, high, leastPositive) {
  const top = Math.log10(high) + 0.05 * Math.max(1, Math.log10(high / leastPositive) / 4);
  const whole = Math.max(Math.floor(Math.log10(leastPositive)), Math.ceil(Math.log10(high)) - MOST_DECADES);
  const isCut = low === 0 || leastPositive < 10 ** whole;
  // Of few decades, an axis to the next power of ten would be half empty.
  const isShort = !isCut && top - whole < 2.5;
  const lowest = isShort ? Math.max(whole, Math.log10(leastPositive) - 0.1) : whole;
  const lane = isCut ? LANE : 0;
  const share = (value) => {
    const part = value > 0 ? (Math.log10(value) - lowest) / (top - lowest) : -1;
    return part < 0 ? 0 : lane + part * (1 - lane);
  };
  const valueAt = (part) => (part < lane ? 0 : 10 ** (lowest + ((part - lane) / (1 - lane)) * (top - lowest)));
  const ticks = (bottom, topmost) => {
    const found = isCut ? [[0, leastPositive < 10 ** lowest ? `<${powerText(lowest)}` : "0"]] : [];
    const few = (topmost - bottom) * (top - lowest) < 2.5;
    const every = Math.max(1, Math.ceil(((topmost - bottom) * (top - lowest)) / MOST_DECADE_LABELS));
    for (let power = whole; power <= top; power += 1) {
      if (power % every === 0 && power >= lowest) found.push([share(10 ** power), powerText(power)]);
      for (const one of few ? [2, 5] : []) {
        if (Math.log10(one) + power >= lowest) found.push([share(one * 10 ** power), tickText(one * 10 ** power)]);
      }
    }
    return found;
  };
  return { share, valueAt, ticks, cut: isCut ? LANE / 2 : null };
}

/** A power of ten: "0.01", "100", and beyond that "10⁻⁶". */
function powerText(power) {
  if (power >= -3 && power <= 3) return tickText(10 ** power);
  const raised = [...String(Math.abs(power))].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
  return `10${power < 0 ? "⁻" : ""}${raised}`;
}

function tickText(number) {
  if (Math.abs(number) < 1e-12) return "0";
  const size = Math.abs(number);
  if (size >= 1e6) return `${Number((number / 1e6).toPrecision(3))}M`.replace("-", "−");
  if (size >= 1e4) return `${Number((number / 1e3).toPrecision(4))}k`.replace("-", "−");
  if (size < 1e-3) return number.toExponential(0).replaceAll("-", "−");
  return Number(number.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 6 }).replace("-", "−");
}
