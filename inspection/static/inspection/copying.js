// Buttons that copy: an id, the link to a message, the text of a message, code.
async function copy(text) {
  // Browsers allow the clipboard over HTTPS and on this machine only.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

const SOURCES = {
  text: (button) => JSON.parse(button.dataset.text), // an id may hold characters that act
  link: (button) => button.closest(".message").querySelector("a.position").href,
  message: (button) => [...button.closest(".message").querySelectorAll(":scope > .body > .parts .markdown, :scope > .body > .parts .text, :scope > .body > .parts > .part > .fold > pre, :scope > .body > .parts > .part > pre")]
    .map((part) => part.innerText.trim()).join("\n\n"),
  code: (button) => button.parentElement.querySelector("pre").innerText,
};

function watch(button) {
  const label = button.firstChild;
  const before = label.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await copy(SOURCES[button.dataset.copy](button));
    label.textContent = "Copied";
    setTimeout(() => { label.textContent = before; }, 1500);
  });
}

for (const pre of document.querySelectorAll(".message pre")) {
  const box = document.createElement("div");
  box.className = "code";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.dataset.copy = "code";
  button.innerHTML = 'Copy<span class="visually-hidden"> the code</span>';
  pre.replaceWith(box);
  box.append(pre, button);
}
for (const button of document.querySelectorAll("button[data-copy]")) watch(button);
