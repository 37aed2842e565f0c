// Buttons that copy: an id, the link to a message, what a page of its own has, code.
async function copy(text) {
  if (navigator.clipboard) {
    // A promise, since Safari forgets the click while a page is fetched.
    const data = Promise.resolve(text).then((text) => new Blob([text], {type: "text/plain"}));
    return navigator.clipboard.write([new ClipboardItem({"text/plain": data})]);
  }
  // Browsers have that over HTTPS and on this machine only.
  const field = document.createElement("textarea");
  field.value = await text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok || answer.redirected) throw new Error(`${url} was not fetched`);
  return answer.text();
}

// The link to a message without the list from which this page was opened.
function link(message) {
  const url = new URL(message.querySelector("a.position").href);
  url.searchParams.delete("list");
  return url.href;
}

const SOURCES = {
  text: (button) => JSON.parse(button.dataset.text), // an id may hold characters that act
  link: (button) => link(button.closest(".message")),
  page: (button) => fetched(button.dataset.page),
  code: (button) => button.parentElement.querySelector("pre").innerText,
};

function watch(button) {
  const label = button.firstChild;
  const before = label.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await copy(SOURCES[button.dataset.copy](button));
      label.textContent = "Copied";
    } catch {
      label.textContent = "Not copied";
    }
    setTimeout(() => { label.textContent = before; }, 1500);
  });
}

for (const pre of document.querySelectorAll(".message:not(.stored) pre")) {
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
