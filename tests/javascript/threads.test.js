// `client.threads.stream()`: the agent streaming protocol without an interface around it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { client, question } from "./service.js";

const options = { timeout: 60_000 };

test("a run's output is awaited", options, async () => {
  const thread = client().threads.stream({ assistantId: "echo" });

  await thread.run.start({ input: { text: "ada" } });

  assert.equal((await thread.output).text, "ADA");
  await thread.close();
});

test("messages come with their words", options, async () => {
  const thread = client().threads.stream({ assistantId: "chatting" });

  // Asked for before the run can be over: what comes behind its end is not passed on by the client.
  const started = thread.run.start({ input: question });
  const { messages } = thread;
  await started;
  const texts = [];
  for await (const message of messages) texts.push(await message.text);

  assert.deepEqual(texts, ["one two three"]);
  await thread.close();
});

test("tool calls come with their output", options, async () => {
  const thread = client().threads.stream({ assistantId: "agent" });

  const started = thread.run.start({ input: question });
  const { toolCalls } = thread;
  await started;
  const calls = new Map();
  for await (const call of toolCalls) {
    // It comes once when it begins and once when it ends.
    calls.set(call.name, call);
    call.output.catch(() => {});
  }

  assert.deepEqual([...calls.keys()], ["add", "divide"]);
  assert.equal(await calls.get("add").output, "3");
  await assert.rejects(calls.get("divide").output, /division by zero/);
  await thread.close();
});

test("an interrupt is answered, a stale one refused", options, async () => {
  const thread = client().threads.stream({ assistantId: "asking" });
  await thread.run.start({ input: { text: "Sure?" } });
  for await (const _ of thread.values);
  const [{ interruptId, namespace, payload }] = thread.interrupts;

  await thread.input.respond({ interrupt_id: interruptId, namespace, response: "yes" });
  const seen = await thread.subscribe({ channels: ["values"] });
  for await (const event of seen) if (event.params.data.text === "SURE?") break;

  // As long as a run works, an answer waits behind it, and is looked at then.
  const [{ run_id: answered }] = await client().runs.list(thread.threadId);
  await client().runs.join(thread.threadId, answered);

  assert.deepEqual(payload, { question: "Sure?" });
  await assert.rejects(
    thread.input.respond({ interrupt_id: "f".repeat(32), namespace, response: "no" }),
    /no_such_interrupt|No interrupt/,
  );
  await thread.close();
});
