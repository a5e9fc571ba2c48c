// Says what the node or the line under the pointer is, and goes through all of them with the arrow keys.
"use strict";
(() => {
  let here = null;
  const atRest = new WeakMap();

  const graphOf = (target) => target.closest?.("[data-graph]");
  const toldOf = (drawing) => drawing.parentElement.querySelector("[data-graph-told]");

  const show = (drawing, part) => {
    const told = toldOf(drawing);
    if (!atRest.has(told)) atRest.set(told, told.innerHTML);
    here?.classList.remove("here");
    here = part;
    part?.classList.add("here");
    const title = part?.querySelector(":scope > title")?.textContent;
    if (title) told.textContent = title;
    else told.innerHTML = atRest.get(told);
  };

  // Listened to on the document, because a playground draws its graph again and again.
  document.addEventListener("pointerover", (event) => {
    const drawing = graphOf(event.target);
    if (drawing) show(drawing, event.target.closest(".node, .wire"));
  });
  document.addEventListener("pointerout", (event) => {
    const drawing = graphOf(event.target);
    if (drawing && !drawing.contains(event.relatedTarget)) show(drawing, null);
  });
  document.addEventListener("focusout", (event) => {
    const drawing = graphOf(event.target);
    if (drawing && here) show(drawing, null);
  });
  document.addEventListener("keydown", (event) => {
    const drawing = graphOf(event.target);
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!drawing) return;
    if (event.key === "Escape") show(drawing, null);
    const parts = [...drawing.querySelectorAll(".node, .wire")];
    if (!step || !parts.length) return;
    event.preventDefault();
    const place = parts.indexOf(here);
    const next = place < 0 ? (step > 0 ? 0 : parts.length - 1) : (place + step + parts.length) % parts.length;
    show(drawing, parts[next]);
    here.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  for (const words of document.querySelectorAll(".graph [data-with-script]")) words.hidden = false;
})();
