// The page's state in its address, so that a link shows what one saw: #timelines?runs=3,7&time=2440

const ADDRESS_DELAY = 150;
let anchor = "";
// While an address is read, what it changes is not written back.
let reading = false;

function addressOf() {
  const parts = [];
  const add = (name, value) => parts.push(`${name}=${encodeURIComponent(value)}`);
  if (view.seeds) add("runs", view.kind.startsWith("route ") || view.kind === "outliers" ? view.kind : [...view.seeds].join(","));
  if (view.time !== null) add("time", Math.round(view.time * 1e6) / 1e6);
  if (view.metric) add("metric", data.metrics[view.metric].column);
  if (view.theme) add("theme", view.theme);
  return parts.length ? `#${anchor}?${parts.join("&")}` : anchor && `#${anchor}`;
}

function writeAddress() {
  const address = addressOf();
  if (location.hash === address) return;
  try {
    history.replaceState(null, "", address || location.pathname + location.search);
  } catch {
    // A browser that forbids it of files: the page works without.
  }
}

function chooseFromAddress(runs) {
  if (!runs) chooseAll();
  else if (/^(route \d+|outliers)$/.test(runs)) choose(runs);
  else chooseSeeds(readSeeds(runs));
}

/** Read the address: which runs, time, metric and colours, and where on the page. */
function readAddress() {
  const [name, query] = location.hash.slice(1).split("?");
  const asked = new URLSearchParams(query ?? "");
  anchor = decodeURIComponent(name);
  if (query === undefined) return;
  reading = true;
  chooseFromAddress(asked.get("runs"));
  const time = asked.get("time");
  change({ time: time !== null && Number.isFinite(Number(time)) ? Number(time) : null });
  const metric = data.metrics.findIndex((one) => one.column === asked.get("metric"));
  if (metric >= 0) change({ metric });
  if (["light", "dark"].includes(asked.get("theme"))) change({ theme: asked.get("theme") });
  reading = false;
}

function land() {
  if (anchor) document.getElementById(anchor)?.scrollIntoView({ behavior: "instant" });
}

function startAddress() {
  let timer = null;
  onChange(() => {
    if (reading) return;
    clearTimeout(timer);
    timer = setTimeout(writeAddress, ADDRESS_DELAY);
  });
  window.addEventListener("hashchange", () => {
    readAddress();
    land();
    writeAddress();
  });
  readAddress();
  // What is drawn by script has its height after some frames, and only then is a place where it stays.
  const frames = (left) => requestAnimationFrame(() => (left ? frames(left - 1) : land()));
  if (anchor) frames(3);
}
