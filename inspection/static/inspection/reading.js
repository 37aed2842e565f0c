// Keys for a transcript, and images enlarged on the page.
const messages = [...document.querySelectorAll(".transcript > li > .message")];
const keys = document.getElementById("keys");

function step(by) {
  const at = messages.indexOf(document.activeElement.closest(".transcript > li > .message"));
  const top = document.querySelector(".talk").getBoundingClientRect().bottom;
  const visible = messages.findIndex((message) => message.getBoundingClientRect().bottom > top);
  const to = at < 0 ? visible : at + by;
  messages[Math.min(Math.max(to, 0), messages.length - 1)]?.focus();
}

const ACTIONS = {
  "j": () => step(1),
  "k": () => step(-1),
  "n": () => document.querySelector("a[data-key=n]")?.click(),
  "p": () => document.querySelector("a[data-key=p]")?.click(),
  "/": () => document.getElementById("jump-words").focus(),
  "?": () => keys.showModal(),
};

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, textarea, select, dialog");
  if (busy || event.ctrlKey || event.metaKey || event.altKey || !(event.key in ACTIONS)) return;
  event.preventDefault();
  ACTIONS[event.key]();
});

// A click on an image opens it here; without this script, on a page of its own.
const lightbox = document.getElementById("lightbox");
for (const link of document.querySelectorAll("a.enlarge")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const image = document.createElement("img");
    image.src = link.href;
    image.alt = link.firstElementChild.alt;
    lightbox.querySelector("img")?.remove();
    lightbox.querySelector("a").href = link.href;
    lightbox.append(image);
    lightbox.showModal();
  });
}
lightbox.addEventListener("click", (event) => {
  if (event.target === lightbox) lightbox.close();
});

// A menu closes when something else is used.
for (const menu of document.querySelectorAll("details.menu")) {
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.firstElementChild.focus();
  });
}

// The page of the last messages opens at its end. A browser that comes back knows where it was.
const [navigation] = performance.getEntriesByType("navigation");
if (!location.hash && navigation?.type === "navigate" && document.querySelector("[data-at-end]"))
  messages.at(-1)?.scrollIntoView({block: "end"});
