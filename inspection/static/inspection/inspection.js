// A long deletion or search takes several requests. Send the next one without a click.
for (const form of document.querySelectorAll("form[data-continue]")) form.requestSubmit();
for (const link of document.querySelectorAll("a[data-continue]")) location.replace(link.href);

// Make boxes that scroll reachable by keyboard. Rendered Markdown cannot set tabindex.
for (const box of document.querySelectorAll(".markdown pre, .markdown table")) box.tabIndex = 0;
