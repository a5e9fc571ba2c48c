// Copies what a button names, and says so; without a clipboard the buttons stay hidden.
"use strict";
(() => {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    const words = button.innerHTML;
    button.addEventListener("click", async () => {
      const source = document.querySelector(button.dataset.copy);
      await navigator.clipboard.writeText(source.dataset.text ?? source.textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.innerHTML = words), 1500);
    });
  }
})();
