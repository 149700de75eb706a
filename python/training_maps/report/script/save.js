// Buttons that save what is seen: a figure as SVG or PNG, its data as CSV.

const LOOKS = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity",
  "font-family", "font-size", "font-weight", "font-style", "text-anchor", "visibility", "display",
];
const PNG_SCALE = 2;

function saveAs(name, blob) {
  const address = URL.createObjectURL(blob);
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** A drawing that stands for itself: what style sheets and variables say is written into it. */
function standalone(svg) {
  const copy = svg.cloneNode(true);
  const parts = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, i) => {
    const computed = getComputedStyle(parts[i]);
    node.removeAttribute("class");
    if (!node.closest("defs")) node.setAttribute("style", LOOKS.map((look) => `${look}:${computed.getPropertyValue(look)}`).join(";"));
  });
  const { width, height } = svg.viewBox.baseVal;
  const { x, y } = svg.viewBox.baseVal;
  const ground = drawn("rect", { x, y, width, height });
  ground.style.fill = getComputedStyle(document.body).getPropertyValue("--card-now") || getComputedStyle(svg.closest("section")).backgroundColor;
  copy.insertBefore(ground, copy.firstChild);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  for (const name of ["role", "aria-label", "tabindex"]) copy.removeAttribute(name);
  return { text: new XMLSerializer().serializeToString(copy), width, height };
}

function saveSvg(svg, name) {
  saveAs(`${name}.svg`, new Blob([standalone(svg).text], { type: "image/svg+xml" }));
}

function savePng(svg, name) {
  const { text, width, height } = standalone(svg);
  const image = new Image();
  image.onload = () => {
    const canvas = element("canvas", { width: Math.ceil(PNG_SCALE * width), height: Math.ceil(PNG_SCALE * height) });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => saveAs(`${name}.png`, blob));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}

function cell(value) {
  const text = String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function saveCsv(rows, name) {
  saveAs(`${name}.csv`, new Blob([rows.map((row) => `${row.map(cell).join(",")}\n`).join("")], { type: "text/csv" }));
}

/** The curves of a chart as rows, within what is zoomed to. */
function curveRows(series, zoom, nameOf) {
  const rows = [["seed", data.time, "name", "value", "state"]];
  for (const one of series) {
    one.times.forEach((time, i) => {
      if (time >= zoom.from && time <= zoom.to) rows.push([one.run.seed, time, nameOf(one), one.values[i], stateAt(one.run, time) ?? ""]);
    });
  }
  return rows;
}

function toolButton(text, label, press) {
  const button = element("button", { type: "button", class: "tool", text, title: label });
  button.setAttribute("aria-label", label);
  button.addEventListener("click", press);
  return button;
}

/** Buttons below a figure; `find` gives its drawing, which may be drawn anew meanwhile. */
function saveButtons(name, what, find) {
  return [
    toolButton("SVG", `Save ${what} as SVG`, () => find() && saveSvg(find(), name)),
    toolButton("PNG", `Save ${what} as PNG`, () => find() && savePng(find(), name)),
  ];
}

function startSaving() {
  for (const figure of document.querySelectorAll(".figure[data-name]")) {
    const find = () => [...figure.querySelectorAll("svg")].find((svg) => svg.getClientRects().length);
    const tools = element("p", { class: "tools interactive" }, ...saveButtons(figure.dataset.name, "this figure", find));
    figure.append(tools);
  }
}
