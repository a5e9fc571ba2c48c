// Keeps which cards of the gallery are picked to be compared, the last two, from one page of it to the next.
"use strict";
(() => {
  const KEY = "tamiyo-picked";
  const MOST = 2;
  const SHORT_ID = 12;
  const tray = document.querySelector("[data-tray]");
  const results = document.getElementById("results");
  const [chips, told, go] = ["chips", "told", "go"].map((name) => tray.querySelector(`[data-tray-${name}]`));

  const read = () => {
    try {
      return JSON.parse(sessionStorage.getItem(KEY) ?? "[]").slice(-MOST);
    } catch {
      return [];
    }
  };
  let picked = read();

  const keep = (ids) => {
    picked = ids.slice(-MOST);
    sessionStorage.setItem(KEY, JSON.stringify(picked));
    show();
  };

  const chip = (id) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    button.append(Object.assign(document.createElement("span"), { className: "id", textContent: id.slice(0, SHORT_ID) }), " ×");
    button.setAttribute("aria-label", `Take ${id.slice(0, SHORT_ID)} away`);
    button.addEventListener("click", () => {
      keep(picked.filter((other) => other !== id));
      (chips.querySelector("button") ?? document.getElementById("main")).focus();
    });
    return button;
  };

  const show = () => {
    for (const box of results.querySelectorAll("[data-pick]")) box.checked = picked.includes(box.value);
    chips.replaceChildren(...picked.map(chip));
    tray.classList.toggle("held", picked.length > 0);
    told.textContent = picked.length < MOST ? "Pick one more to compare." : "Two are picked.";
    go.disabled = picked.length < MOST;
  };

  results.addEventListener("change", (event) => {
    if (!event.target.matches("[data-pick]")) return;
    const others = picked.filter((id) => id !== event.target.value);
    keep(event.target.checked ? [...others, event.target.value] : others);
  });
  tray.addEventListener("submit", (event) => {
    event.preventDefault();
    const [a, b] = picked;
    keep([]);
    location.assign(`/compare?${new URLSearchParams({ a, b })}`);
  });
  new MutationObserver(show).observe(results, { childList: true });
  // What a browser restores of a page that one comes back to is older than what is kept.
  addEventListener("pageshow", () => {
    picked = read();
    show();
  });
})();
