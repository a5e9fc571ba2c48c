// The heat map is a table; this adds a pointer that names row and column, and keys that walk through it.
"use strict";
(() => {
  const table = document.querySelector("[data-heat]");
  const told = document.querySelector("[data-heat-told]");
  const atRest = told.textContent;
  const columns = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.name ?? cell.textContent.trim());
  const cells = () => [...table.querySelectorAll("td[data-score]")];

  const show = (cell) => {
    table.querySelector(".here")?.classList.remove("here");
    if (!cell) {
      told.textContent = atRest;
      return;
    }
    cell.classList.add("here");
    const row = cell.parentElement.cells[0].dataset.name;
    told.textContent = `${row} · ${columns[cell.cellIndex]} · ${cell.dataset.score}`;
  };

  table.addEventListener("pointerover", (event) => show(event.target.closest("td[data-score]")));
  table.addEventListener("pointerleave", () => show(null));
  table.addEventListener("focusin", (event) => show(event.target.closest("td[data-score]")));
  table.addEventListener("focusout", () => show(null));
  table.addEventListener("keydown", (event) => {
    const here = event.target.closest("td[data-score]");
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!here) return;
    if (event.key === "Enter") here.parentElement.querySelector("a")?.click();
    if (!step) return;
    event.preventDefault();
    const row = table.rows[here.parentElement.rowIndex + step[0]];
    const next = row?.cells[here.cellIndex + step[1]];
    if (!next?.matches("td[data-score]")) return;
    here.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  const [first] = cells();
  if (first) first.tabIndex = 0;
})();
