// Makes the gallery's form live: what it asks for is fetched as one types, and replaces the results alone.
"use strict";
(() => {
  const form = document.querySelector("[data-live]");
  const results = document.getElementById(form.dataset.live);
  const status = document.querySelector("[data-live-status]");
  const PAUSE_MS = 250;
  let timer = 0;
  let running = null;

  const address = () => {
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value !== "") asked.append(name, value);
    const text = asked.toString();
    return text ? `${form.getAttribute("action")}?${text}` : form.getAttribute("action");
  };

  const refresh = async () => {
    const target = address();
    running?.abort();
    const mine = (running = new AbortController());
    results.classList.add("busy");
    try {
      const answer = await fetch(target, { signal: mine.signal, headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(results.id);
      if (!fresh) {
        status.textContent = page.querySelector("[data-error-message]")?.textContent ?? "The server did not answer; try again.";
        return;
      }
      results.replaceChildren(...fresh.childNodes);
      status.textContent = page.querySelector("[data-live-status]").textContent;
      history.replaceState(null, "", target);
    } catch (error) {
      if (error.name !== "AbortError") status.textContent = "The server cannot be reached; what is shown may be old.";
    } finally {
      if (running === mine) results.classList.remove("busy");
    }
  };

  form.addEventListener("input", (event) => {
    if (event.target.form !== form) return;
    clearTimeout(timer);
    if (!form.checkValidity()) return;
    timer = setTimeout(refresh, event.target.matches("[type=search], [inputmode]") ? PAUSE_MS : 0);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    refresh();
  });
})();
