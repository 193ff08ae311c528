import assert from "node:assert/strict";
import { test } from "node:test";

import { client, question } from "./service.js";

test("a run streams its values", async () => {
  const sdk = client();
  const thread = await sdk.threads.create();

  const parts = [];
  const options = { input: { text: "ada" }, streamMode: ["values"] };
  for await (const part of sdk.runs.stream(thread.thread_id, "echo", options)) parts.push(part);

  assert.equal(parts.filter((part) => part.event === "values").at(-1).data.text, "ADA");
});

test("a model's words come as messages", async () => {
  const sdk = client();
  const thread = await sdk.threads.create();

  const words = [];
  const options = { input: question, streamMode: ["messages-tuple"] };
  for await (const part of sdk.runs.stream(thread.thread_id, "chatting", options)) {
    if (part.event === "messages") words.push(part.data[0].content);
  }

  assert.equal(words.join(""), "one two three");
});

test("a stream is joined where it was left, with several modes", async () => {
  const sdk = client();
  const thread = await sdk.threads.create();
  const run = await sdk.runs.create(thread.thread_id, "counting", {
    input: { text: "" },
    streamMode: ["custom", "values"],
  });
  await sdk.runs.join(thread.thread_id, run.run_id);

  const whole = [];
  const options = { streamMode: ["custom", "values"] };
  for await (const part of sdk.runs.joinStream(thread.thread_id, run.run_id, options)) whole.push(part);
  const rest = [];
  const lastEventId = whole[5].id;
  for await (const part of sdk.runs.joinStream(thread.thread_id, run.run_id, { lastEventId })) rest.push(part);

  assert.equal(whole.filter((part) => part.event === "custom").length, 21);
  assert.deepEqual(rest.map((part) => part.id), whole.slice(6).map((part) => part.id));
});

test("an interrupted thread says what is asked, and goes on", async () => {
  const sdk = client();
  const thread = await sdk.threads.create();

  await sdk.runs.wait(thread.thread_id, "asking", { input: { text: "Sure?" } });
  const state = await sdk.threads.getState(thread.thread_id);
  const values = await sdk.runs.wait(thread.thread_id, "asking", { command: { resume: "yes" } });

  assert.deepEqual(state.tasks[0].interrupts[0].value, { question: "Sure?" });
  assert.deepEqual(values.answers, ["yes"]);
});

test("threads are searched and deleted", async () => {
  const sdk = client();
  const topic = crypto.randomUUID();
  const thread = await sdk.threads.create({ metadata: { topic } });

  const found = await sdk.threads.search({ metadata: { topic } });
  await sdk.threads.delete(thread.thread_id);

  assert.deepEqual(found.map((item) => item.thread_id), [thread.thread_id]);
  assert.deepEqual(await sdk.threads.search({ metadata: { topic } }), []);
});
