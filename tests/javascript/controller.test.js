// The core of `useStream`, which every framework's binding wraps.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";

import { StreamController } from "@langchain/langgraph-sdk/stream";

import { client, question, until } from "./service.js";

const options = { timeout: 60_000 };

function controller(assistantId, more = {}) {
  const made = new StreamController({ assistantId, client: client(), ...more });
  made.activate();
  return made;
}

const texts = (snapshot) => snapshot.messages.map((message) => message.text ?? message.content);

test("a conversation goes on over two runs", options, async (t) => {
  const stream = controller("chatting");
  t.after(() => stream.dispose());

  await stream.submit(question);
  await stream.submit(question);

  // The store is told of the words that came last a moment after it was told that the run is over.
  const whole = ["Count!", "one two three", "Count!", "one two three"];
  await until(stream.rootStore, (now) => !now.isLoading && isDeepStrictEqual(texts(now), whole));
});

for (const graphId of ["stumbling", "chatting_again"]) {
  test(`a run that is tried again ends like any other: ${graphId}`, options, async (t) => {
    const stream = controller(graphId);
    t.after(() => stream.dispose());

    await stream.submit(question);
    const { error, threadId } = await until(stream.rootStore, (now) => !now.isLoading && now.messages.length > 1);
    // Words of the attempt that failed stay with who has heard them: the protocol cannot take them back.
    const second = controller(graphId, { threadId });
    t.after(() => second.dispose());
    const seen = await until(second.rootStore, (now) => now.messages.length > 1);

    assert.deepEqual(texts(seen), ["Count!", "one two three"]);
    assert.equal(error ?? null, null);
  });
}

test("an interrupt is shown and answered", options, async (t) => {
  const stream = controller("asking");
  t.after(() => stream.dispose());

  await stream.submit({ text: "Sure?" });
  const { interrupt } = await until(stream.rootStore, (now) => now.interrupts.length === 1);
  await stream.respond("yes");
  const { values } = await until(stream.rootStore, (now) => now.values.text === "SURE?");

  assert.deepEqual(interrupt.value, { question: "Sure?" });
  assert.deepEqual(values.answers, ["yes"]);
});

test("a failure is shown", options, async (t) => {
  const stream = controller("failing");
  t.after(() => stream.dispose());

  await stream.submit({ text: "It broke." });
  const { error } = await until(stream.rootStore, (now) => now.error != null);

  assert.match(String(error.message ?? error), /It broke\./);
});

test("stopping cancels the run", options, async (t) => {
  let stream;
  const created = new Promise((resolve) => {
    stream = controller("endless", { onCreated: ({ runId }) => resolve(runId) });
  });
  t.after(() => stream.dispose());

  const submitted = stream.submit({ text: "" });
  const runId = await created;
  await stream.stop();
  await submitted;
  const sdk = client();
  const { threadId } = stream.rootStore.getSnapshot();
  await sdk.runs.join(threadId, runId);

  assert.equal((await sdk.runs.get(threadId, runId)).status, "interrupted");
});

test("another tab that opens the thread shows what is asked", options, async (t) => {
  const first = controller("asking");
  t.after(() => first.dispose());
  await first.submit({ text: "Sure?" });
  const { threadId } = await until(first.rootStore, (now) => now.interrupts.length === 1);

  const second = controller("asking", { threadId });
  t.after(() => second.dispose());
  const { interrupt } = await until(second.rootStore, (now) => now.interrupts.length === 1);
  await second.respond("yes", { interruptId: interrupt.id, namespace: [] });

  await until(first.rootStore, (now) => now.values.text === "SURE?");
  await until(second.rootStore, (now) => now.values.text === "SURE?");
});
