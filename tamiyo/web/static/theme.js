// Light, dark or as the system has it: applied before the first paint, kept in this browser alone.
"use strict";
(() => {
  const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };
  const ORDER = Object.keys(NAMES);
  const root = document.documentElement;

  const stored = () => {
    try {
      const theme = localStorage.getItem("theme");
      return ORDER.includes(theme) ? theme : "auto";
    } catch {
      return "auto"; // storage is refused: the choice lasts as long as the page
    }
  };

  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };

  let theme = stored();
  apply(theme);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    const show = () => {
      button.querySelector("[data-theme-name]").textContent = NAMES[theme];
      button.setAttribute("aria-label", `Theme: ${NAMES[theme]}. Change it`);
    };
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // see stored()
      }
      apply(theme);
      show();
      document.dispatchEvent(new CustomEvent("themechange"));
    });

    // `/` goes to the page's search field, as on many pages that people search in.
    document.addEventListener("keydown", (event) => {
      const field = document.querySelector("[data-search]");
      const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
      if (event.key !== "/" || !field || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      field.focus();
      field.select();
    });
  });
})();
