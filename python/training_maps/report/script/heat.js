// The heat map of dissimilarities: pointing at a cell tells its two runs, pressing it compares them.

function startHeat() {
  const heat = data.distances;
  if (!heat) return;
  const values = decode(heat.values, Float32Array);
  const n = heat.seeds.length;
  const valueOf = (row, column) => {
    const [a, b] = [Math.min(row, column), Math.max(row, column)];
    return a === b ? 0 : values[a * n - (a * (a + 1)) / 2 + (b - a - 1)];
  };
  for (const mesh of document.querySelectorAll("#differences .figure [id$='-heat']")) {
    const cellAt = (event) => {
      const box = mesh.getBoundingClientRect();
      const column = Math.floor((n * (event.clientX - box.left)) / box.width);
      const row = Math.floor((n * (event.clientY - box.top)) / box.height);
      return row >= 0 && column >= 0 && row < n && column < n ? [row, column] : null;
    };
    mesh.classList.add("heat");
    mesh.addEventListener("pointermove", (event) => {
      const at = cellAt(event);
      if (!at) return;
      const [a, b] = at.map((i) => heat.seeds[i]);
      showTip(`Seeds ${a} and ${b}`, [["distance", inWords(valueOf(...at))]], event.clientX, event.clientY);
    });
    mesh.addEventListener("pointerleave", hideTip);
    mesh.addEventListener("click", (event) => {
      const at = cellAt(event);
      if (at) chooseSeeds([...new Set(at.map((i) => heat.seeds[i]))]);
    });
  }
}
