// What one request has no time for goes on by itself; without this file a button or a link does it.
for (const form of document.querySelectorAll("form[data-goes-on]")) form.requestSubmit();
for (const link of document.querySelectorAll("a[data-goes-on]")) location.replace(link.href);

// What may be wider than its message is scrolled by keyboard, too. Markdown has no attribute for it.
for (const box of document.querySelectorAll(".markdown pre, .markdown table")) box.tabIndex = 0;
