// Checks and draws a program as one types: fetches the page of what is written, and replaces what it says.
"use strict";
(() => {
  const form = document.querySelector("[data-playground]");
  const field = form.querySelector("textarea");
  const vocabulary = new Set(form.dataset.vocabulary.split(" "));
  const PAUSE_MS = 180;
  let timer = 0;
  let running = null;

  for (const part of document.querySelectorAll(".without-script")) part.hidden = true;
  for (const part of document.querySelectorAll("[data-with-script]")) part.hidden = false;
  for (const select of document.querySelectorAll("[data-send-on-change]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }

  const words = (text) => text.match(/[^\s,[\]'"]+/g) ?? [];
  // The word that the caret stands in or right behind, as far as it is written.
  const partial = () => field.value.slice(0, field.selectionStart).match(/[^\s,[\]'"]*$/)[0].toUpperCase();
  const begins = (word) => word && !vocabulary.has(word) && [...vocabulary].some((token) => token.startsWith(word));

  // What is checked: all that is written but a word that may still become a token.
  const asked = () => {
    const caret = field.selectionStart;
    const word = partial();
    const isOpen = begins(word);
    const before = words(field.value.slice(0, isOpen ? caret - word.length : caret));
    const tokens = [...before, ...words(field.value.slice(caret))];
    const text = tokens.join(" ").toUpperCase();
    return new URLSearchParams({ tokens: text, at: String(before.length), width: form.elements.width.value });
  };

  const address = () => `/playground?${asked()}`;

  const narrow = () => {
    const word = partial();
    const isOpen = begins(word);
    let first = null;
    for (const offer of form.querySelectorAll("[data-offer]")) {
      offer.hidden = isOpen && !offer.value.startsWith(word);
      offer.classList.remove("first");
      if (!offer.hidden && isOpen && !first) first = offer;
    }
    first?.classList.add("first");
    form.querySelector("[data-count]").textContent = `${words(field.value).length} tokens`;
  };

  const refresh = async () => {
    const target = address();
    running?.abort();
    const mine = (running = new AbortController());
    try {
      const answer = await fetch(target, { signal: mine.signal, headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const status = document.querySelector("#checked [data-live-status]");
      if (!page.getElementById("checked")) {
        status.textContent = page.querySelector("[role=alert]")?.textContent ?? "The server did not answer; type on to try again.";
        return;
      }
      for (const part of document.querySelectorAll("[data-live-part]")) replace(part, page.getElementById(part.id));
      const program = document.querySelector("[data-program]");
      if (program) {
        program.value = page.querySelector("[data-program]").value;
        document.querySelector("[data-train]").disabled = !program.value;
      }
      history.replaceState(null, "", `/playground?${new URLSearchParams({ tokens: words(field.value).join(" ").toUpperCase(), width: form.elements.width.value })}`);
      narrow();
      document.dispatchEvent(new CustomEvent("drawn"));
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  };

  // The words of the status are kept in their place, so that a screen reader hears what changed alone.
  const replace = (part, fresh) => {
    const status = part.querySelector("[data-live-status]");
    const news = fresh.querySelector("[data-live-status]");
    if (!status) {
      part.replaceChildren(...fresh.childNodes);
      return;
    }
    if (status.textContent !== news.textContent) status.textContent = news.textContent;
    status.className = news.className;
    news.remove();
    part.replaceChildren(status, ...fresh.childNodes);
  };

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, PAUSE_MS);
    narrow();
  };

  const take = (token) => {
    const caret = field.selectionStart;
    const start = caret - (begins(partial()) ? partial().length : 0);
    const before = field.value.slice(0, start);
    const gap = before && !/\s$/.test(before) ? " " : "";
    field.setRangeText(`${gap}${token} `, start, caret, "end");
    field.focus();
    later();
  };

  field.addEventListener("input", later);
  field.addEventListener("click", later);
  field.addEventListener("keyup", (event) => {
    if (/^(Arrow(Left|Right|Up)|Home|End)$/.test(event.key)) later();
  });
  field.addEventListener("keydown", (event) => {
    const offers = [...form.querySelectorAll("[data-offer]:not([hidden])")];
    const isLast = field.value.slice(field.selectionStart).indexOf("\n") < 0;
    if (event.key === "Enter") {
      event.preventDefault();
      const first = form.querySelector(".offer.first");
      if (first) take(first.value);
      else refresh();
    } else if (event.key === "ArrowDown" && isLast && offers.length) {
      event.preventDefault();
      offers[0].focus();
    }
  });
  form.addEventListener("keydown", (event) => {
    if (!event.target.matches("[data-offer]")) return;
    const offers = [...form.querySelectorAll("[data-offer]:not([hidden])")];
    const place = offers.indexOf(event.target);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" || (step === -1 && place === 0)) {
      event.preventDefault();
      field.focus();
    } else if (step) {
      event.preventDefault();
      offers[Math.min(place + step, offers.length - 1)].focus();
    }
  });
  form.addEventListener("click", (event) => {
    const offer = event.target.closest("[data-offer]");
    if (!offer) return;
    event.preventDefault();
    take(offer.value);
  });
  document.getElementById("checked").addEventListener("click", (event) => {
    const link = event.target.closest("[data-take]");
    if (!link) return;
    event.preventDefault();
    field.value = `${link.dataset.take} `;
    field.setSelectionRange(field.value.length, field.value.length);
    field.focus();
    refresh();
  });
  form.elements.width.addEventListener("change", refresh);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    refresh();
  });
  if (field.value && !/\s$/.test(field.value)) field.value += " ";
  field.setSelectionRange(field.value.length, field.value.length);
  narrow();
})();
