// Figures: drawn in the colours of the page, on paper always in those of the day.
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const frames = [...document.querySelectorAll(".plot")];
function draw(night) {
  for (const frame of frames) {
    const shade = (_, value) => (night && Object.hasOwn(NIGHT, value) ? NIGHT[value] : value);
    const figure = JSON.parse(frame.nextElementSibling.textContent, shade);
    Plotly.react(frame, figure.data, figure.layout, {displayModeBar: false, responsive: true});
  }
}
draw(dark.matches);
dark.addEventListener("change", () => draw(dark.matches));
window.addEventListener("beforeprint", () => {
  draw(false);
  for (const frame of frames) Plotly.Plots.resize(frame);
});
window.addEventListener("afterprint", () => draw(dark.matches));

// Tables: a shade where more can be scrolled to, sorting by column, a filter.
for (const box of document.querySelectorAll(".scroll")) {
  const cue = () => {
    const left = box.scrollWidth - box.clientWidth - box.scrollLeft;
    box.parentElement.classList.toggle("more", left > 1);
  };
  box.addEventListener("scroll", cue, {passive: true});
  new ResizeObserver(cue).observe(box);
}
for (const head of document.querySelectorAll("table.sortable th")) {
  head.querySelector("button").addEventListener("click", () => {
    const column = head.cellIndex;
    const body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") !== "ascending";
    const value = (row) => {
      const cell = row.cells[column];
      if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
      return ["", "\u2014"].includes(cell.textContent) ? null : cell.textContent;
    };
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null); // nothing comes last
      const rising = typeof x === "number" && typeof y === "number"
        ? x - y : String(x).localeCompare(String(y));
      return up ? rising : -rising;
    };
    body.append(...[...body.rows].sort(order));
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  });
}
for (const field of document.querySelectorAll(".filter input")) {
  const rows = [...field.closest(".framed").querySelector("tbody").rows];
  const shown = field.closest(".filter").querySelector("output");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    let count = 0;
    for (const row of rows) {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      count += !row.hidden;
    }
    shown.textContent = field.value.trim() ? `${count} of ${rows.length} rows` : "";
  });
}
