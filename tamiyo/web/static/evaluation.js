// Follows a job: fetches its page again while it goes on, and replaces what is said of it.
"use strict";
(() => {
  const PAUSE_MS = 700;

  const follow = async () => {
    const here = document.getElementById("job");
    if (!here.dataset.poll) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("job");
      if (!fresh) {
        here.querySelector("[data-live-status]").textContent =
          page.querySelector("[data-error-message]")?.textContent ?? "The server forgot this job.";
        return;
      }
      // A button that is replaced while it is pressed would never hear of its click.
      if (here.querySelector("button:active")) return void setTimeout(follow, PAUSE_MS);
      const hadFocus = here.contains(document.activeElement) && document.activeElement.matches("button");
      here.dataset.poll = fresh.dataset.poll;
      here.replaceChildren(...fresh.childNodes);
      if (hadFocus) here.querySelector("button")?.focus();
    } catch {
      here.querySelector("[data-live-status]").textContent = "The server cannot be reached; trying again.";
    }
    setTimeout(follow, PAUSE_MS);
  };

  setTimeout(follow, PAUSE_MS);
})();
