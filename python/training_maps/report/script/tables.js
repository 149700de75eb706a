// Tables sort by a press on a column's head: up, down, and as they came.

const FEWEST_ROWS = 3;

/** What a cell sorts by: its number, if it begins with one, or its text. */
function sortKey(text) {
  const plain = text.trim().replaceAll(",", "").replace("−", "-").replace(/^</, "");
  const number = Number.parseFloat(plain);
  return Number.isNaN(number) ? plain : number;
}

function compareKeys(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b);
}

function sortRows(body, rows, column, direction) {
  const keyed = rows.map((row) => [sortKey(row.cells[column]?.textContent ?? ""), row]);
  if (direction) keyed.sort((a, b) => direction * compareKeys(a[0], b[0]));
  body.append(...keyed.map(([, row]) => row));
}

function startSorting() {
  for (const table of document.querySelectorAll("section table")) {
    const [body] = table.tBodies;
    const head = table.tHead?.rows;
    if (table.tBodies.length !== 1 || head?.length !== 1 || body.rows.length < FEWEST_ROWS) continue;
    const rows = [...body.rows];
    if (table.querySelector("tbody [rowspan], tbody [colspan], thead [colspan]")) continue;
    [...head[0].cells].forEach((node, column) => {
      if (node.textContent.trim() && !node.classList.contains("pick-cell")) makeSorter(head[0], node, () => body, rows, column);
    });
  }
}

function makeSorter(head, node, body, rows, column) {
  const button = element("button", { type: "button", class: "sorter" });
  button.append(...node.childNodes);
  node.append(button);
  button.addEventListener("click", () => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[node.getAttribute("aria-sort") ?? "none"];
    for (const other of head.cells) other.removeAttribute("aria-sort");
    if (next !== "none") node.setAttribute("aria-sort", next);
    sortRows(body(), rows, column, { none: 0, ascending: 1, descending: -1 }[next]);
  });
}
