// Long deletions and searches take several requests. Send the next one without a click.
for (const form of document.querySelectorAll("form[data-continue]")) form.requestSubmit();
for (const link of document.querySelectorAll("a[data-continue]")) location.replace(link.href);

// Let the keyboard scroll boxes that are wider than their message. Markdown cannot set tabindex.
for (const box of document.querySelectorAll(".markdown pre, .markdown table")) box.tabIndex = 0;
