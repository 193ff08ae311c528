// The AG-UI connector, which CopilotKit uses.

import assert from "node:assert/strict";
import { test } from "node:test";

import { LangGraphAgent } from "@ag-ui/langgraph";

import { token, url } from "./service.js";

const options = { timeout: 60_000 };

function agent(graphId) {
  return new LangGraphAgent({ graphId, deploymentUrl: url, langsmithApiKey: token });
}

async function events(connected, parameters = {}) {
  const seen = [];
  await connected.runAgent(parameters, { onEvent: ({ event }) => void seen.push(event) });
  return seen;
}

test("a model's words come as text", options, async () => {
  const connected = agent("chatting");
  connected.addMessage({ id: crypto.randomUUID(), role: "user", content: "Count!" });

  const seen = await events(connected);

  const words = seen.filter((event) => event.type === "TEXT_MESSAGE_CONTENT").map((event) => event.delta);
  assert.equal(words.join(""), "one two three");
  assert.equal(seen.at(-1).type, "RUN_FINISHED");
});

for (const graphId of ["stumbling", "chatting_again"]) {
  test(`a run that is tried again ends like any other: ${graphId}`, options, async () => {
    const connected = agent(graphId);
    connected.addMessage({ id: crypto.randomUUID(), role: "user", content: "Count!" });

    const seen = await events(connected);

    const snapshots = seen.filter((event) => event.type === "MESSAGES_SNAPSHOT");
    assert.deepEqual(snapshots.at(-1).messages.map((message) => message.content), ["Count!", "one two three"]);
    assert.equal(seen.at(-1).type, "RUN_FINISHED");
  });
}

test("an interrupt is shown and answered", options, async () => {
  const connected = agent("approving");
  connected.addMessage({ id: crypto.randomUUID(), role: "user", content: "Delete it!" });

  const asked = await events(connected);
  const answered = await events(connected, { forwardedProps: { command: { resume: "yes" } } });

  assert.ok(asked.some((event) => event.type === "CUSTOM" && event.name === "on_interrupt"));
  const states = answered.filter((event) => event.type === "MESSAGES_SNAPSHOT");
  assert.equal(states.at(-1).messages.at(-1).content, "You said yes.");
});
