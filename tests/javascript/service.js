// The agent service under test, and the official client.

import { Client } from "@langchain/langgraph-sdk";

export const url = process.env.AGENT_URL;
export const token = process.env.AGENT_TOKEN;

export const client = () => new Client({ apiUrl: url, apiKey: token, callerOptions: { maxRetries: 0 } });

export const question = { messages: [{ type: "human", content: "Count!" }] };

// Resolves once the store's snapshot satisfies.
export function until(store, condition) {
  return new Promise((resolve) => {
    const look = () => {
      if (!condition(store.getSnapshot())) return;
      unsubscribe();
      resolve(store.getSnapshot());
    };
    const unsubscribe = store.subscribe(look);
    look();
  });
}
