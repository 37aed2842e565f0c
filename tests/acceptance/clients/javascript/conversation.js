// OpenAI's SDK for JavaScript, with nothing changed but `baseURL`: one conversation from its
// beginning to its end. What it found is written as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none" });
const { conversations } = client;
const user = (text) => ({ role: "user", content: text });

const created = await conversations.create({ metadata: { title: "Trip" }, items: [user("0")] });
for (let n = 1; n < 8; n += 1) {
  await conversations.items.create(created.id, { items: [user(String(n))] });
}
const call = { type: "function_call", call_id: "c1", name: "look", arguments: "{}" };
const added = await conversations.items.create(created.id, { items: [call] });
const texts = [];
for await (const item of conversations.items.list(created.id, { order: "asc", limit: 3 })) {
  texts.push(item.type === "message" ? item.content[0].text : item.name);
}
const found = await conversations.items.retrieve(added.data[0].id, { conversation_id: created.id });
await conversations.items.delete(found.id, { conversation_id: created.id });
const left = await conversations.items.list(created.id, { limit: 1 });
const updated = await conversations.update(created.id, { metadata: { title: "Long trip" } });
const deleted = await conversations.delete(created.id);
const missing = await conversations.retrieve(created.id).catch((error) => error);
console.log(
  JSON.stringify({
    texts,
    call: found.arguments,
    left: left.data[0].content[0].text,
    title: updated.metadata.title,
    deleted: deleted.deleted,
    missing: [missing instanceof OpenAI.NotFoundError, missing.code],
  }),
);
