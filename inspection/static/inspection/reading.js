// Keys for a transcript, and images enlarged on the page.
const talk = document.querySelector(".talk-title");
const messages = [...document.querySelectorAll(".transcript > li > .message")];
const keys = document.getElementById("keys");

function step(by) {
  const at = messages.indexOf(document.activeElement.closest(".transcript > li > .message"));
  const top = talk.getBoundingClientRect().bottom;
  const visible = messages.findIndex((message) => message.getBoundingClientRect().bottom > top);
  const to = at < 0 ? visible : at + by;
  const message = messages[Math.min(Math.max(to, 0), messages.length - 1)];
  message?.focus({preventScroll: true});
  message?.scrollIntoView({block: "start"});
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

const showKeys = document.getElementById("show-keys");
showKeys.hidden = false;
showKeys.addEventListener("click", ACTIONS["?"]);

// A click on an image opens it here; without this script, on a page of its own.
const lightbox = document.getElementById("lightbox");
const images = [...document.querySelectorAll("a.enlarge")];
let enlarged = 0;

function enlarge(number) {
  enlarged = (number + images.length) % images.length;
  const link = images[enlarged];
  const image = document.createElement("img");
  image.src = link.href;
  image.alt = link.firstElementChild.alt;
  lightbox.querySelector("img")?.remove();
  lightbox.querySelector("a").href = link.href;
  lightbox.append(image);
}

images.forEach((link, number) => link.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  enlarge(number);
  lightbox.showModal();
}));
for (const [key, by] of [["ArrowLeft", -1], ["ArrowRight", 1]]) {
  const button = lightbox.querySelector(`button[data-key=${key}]`);
  button.hidden = images.length < 2;
  button.addEventListener("click", () => enlarge(enlarged + by));
  lightbox.addEventListener("keydown", (event) => { if (event.key === key) enlarge(enlarged + by); });
}
lightbox.addEventListener("click", (event) => {
  if (event.target === lightbox) lightbox.close();
});

// A text that fits is not folded. In a closed call, nothing has a height yet.
function unfoldWhatFits() {
  for (const fold of document.querySelectorAll(".fold:not(.fades)")) {
    if (fold.scrollHeight > fold.clientHeight + 1) fold.classList.add("fades");
    else if (fold.clientHeight) {
      fold.classList.remove("fold");
      fold.nextElementSibling.remove();
    }
  }
}
unfoldWhatFits();
document.addEventListener("toggle", unfoldWhatFits, true);

// A folded text opens when the keyboard reaches what is below its fold.
document.addEventListener("focusin", (event) => {
  const fold = event.target.closest(".fold");
  const bottom = fold?.getBoundingClientRect().bottom;
  if (fold && (fold.scrollTop || event.target.getBoundingClientRect().top > bottom))
    fold.nextElementSibling.open = true;
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

// A word that a search found may be far below the beginning of its message.
window.addEventListener("load", () => {
  const mark = document.querySelector(".message:target mark");
  if (mark && mark.getBoundingClientRect().bottom > innerHeight) mark.scrollIntoView({block: "center"});
});

// The page of the last messages opens at its end. A browser that comes back knows where it was.
const [navigation] = performance.getEntriesByType("navigation");
if (!location.hash && navigation?.type === "navigate" && document.querySelector("[data-at-end]"))
  messages.at(-1)?.scrollIntoView({block: "end"});
