// The panel beside a plot: the drawing and numbers of the point in focus, fetched once each, a moment later.

const WAIT_MS = 90;

/** Returns a function that shows a blueprint by its id, or what the panel said at first. */
export function shownIn(panel) {
  const atRest = panel.innerHTML;
  const kept = new Map();
  let [wanted, timer] = ["", 0];
  return (id) => {
    clearTimeout(timer);
    wanted = id ?? "";
    if (!id) {
      // What was seen last stays, so that it can be read and clicked.
      if (!kept.size) panel.innerHTML = atRest;
      return;
    }
    timer = setTimeout(async () => {
      if (!kept.has(id)) {
        const response = await fetch(`/blueprints/${id}/card`);
        if (!response.ok) return;
        kept.set(id, await response.text());
      }
      if (wanted === id) panel.innerHTML = kept.get(id);
    }, WAIT_MS);
  };
}

/** Fetches JSON; throws what the server says is wrong, and how to mend it. */
export async function answerOf(address) {
  const response = await fetch(address, { headers: { Accept: "application/json" } });
  const body = await response.json();
  if (!response.ok) throw new Error([body.error?.message, body.error?.mend].filter(Boolean).join("; "));
  return body;
}

/** Fetches JSON and hands it on, or says in `status` why there is none and how to go on. */
export async function fetched(address, status, act) {
  try {
    act(await answerOf(address));
  } catch (error) {
    status.hidden = false;
    status.textContent = `Not drawn: ${error.message || "the server does not answer"}. The table below has the numbers.`;
  }
}

/** The colour of a family on a canvas, and its shape, as the legend's boxes inside `root` say. */
export function looks(root) {
  const found = new Map();
  for (const box of root.querySelectorAll("[name=family]")) {
    const { colour, shape } = box.dataset;
    found.set(box.value, { colour: (colours) => colours.read(`family-${colour}`), shape });
  }
  const other = { colour: (colours) => colours.read("family-other"), shape: "circle" };
  return (family) => found.get(family) ?? other;
}
