// The agent service under test, and the official client.

import { inspect } from "node:util";

import { Client } from "@langchain/langgraph-sdk";

export const url = process.env.AGENT_URL;
export const token = process.env.AGENT_TOKEN;

export const client = () => new Client({ apiUrl: url, apiKey: token, callerOptions: { maxRetries: 0 } });

export const question = { messages: [{ type: "human", content: "Count!" }] };

// Resolves once the store's snapshot satisfies; after half a minute it fails with the last one.
export function until(store, condition) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      unsubscribe();
      clearTimeout(timer);
    };
    const look = () => {
      const snapshot = store.getSnapshot();
      if (!condition(snapshot)) return;
      stop();
      resolve(snapshot);
    };
    const late = () => {
      stop();
      reject(new Error(`It stayed as ${inspect(store.getSnapshot(), { depth: 3 })}`));
    };
    const unsubscribe = store.subscribe(look);
    const timer = setTimeout(late, 30_000);
    look();
  });
}
