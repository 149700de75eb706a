// Making elements, and the one tooltip of the page. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function colourOf(state) {
  return `var(--s${state % 12})`;
}

function badge(state) {
  const mark = element("span", { class: "state", text: String(state) });
  mark.style.background = colourOf(state);
  mark.style.color = `var(--t${state % 12})`;
  return mark;
}

const tip = element("div", { id: "tip", role: "tooltip", hidden: "" });
document.body.append(tip);

// What shows the tooltip of the part that has the focus, which moves as the page scrolls.
let follow = null;

/** Show rows of a name and a text near a point of the window. */
function showTip(title, rows, x, y) {
  const list = element("dl");
  for (const [name, text] of rows) {
    list.append(element("dt", { text: name }), element("dd", { text }));
  }
  tip.replaceChildren(element("strong", { text: title }), list);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const room = document.documentElement.clientWidth;
  const left = Math.max(8, Math.min(x + 14, room - width - 8));
  const below = y + 16 + height < window.innerHeight;
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.max(8, below ? y + 16 : y - height - 12)}px`;
}

function hideTip() {
  tip.hidden = true;
  follow = null;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
window.addEventListener("scroll", () => follow && follow(), { passive: true });

/** Show a tooltip while something is pointed at or has the focus. */
function withTip(node, describe) {
  const show = (x, y) => {
    const [title, rows] = describe();
    showTip(title, rows, x, y);
  };
  node.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
  node.addEventListener("pointerleave", hideTip);
  node.addEventListener("focus", () => {
    if (!node.matches(":focus-visible")) return;
    follow = () => {
      const box = node.getBoundingClientRect();
      show(box.left + box.width / 2, box.top + box.height / 2);
    };
    follow();
  });
  node.addEventListener("blur", hideTip);
  node.setAttribute("aria-describedby", "tip");
}

/** Call `draw` now and whenever the width of a node changes, once a frame at most. */
function whenSized(node, draw) {
  let width = 0;
  const observer = new ResizeObserver(() => {
    if (node.clientWidth === width || node.clientWidth === 0) return;
    width = node.clientWidth;
    requestAnimationFrame(draw);
  });
  observer.observe(node);
}
