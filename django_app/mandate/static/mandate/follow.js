// Follows one run: the ledger's lines come as a part of the page, the model's words as they are written.

import { follow } from "./events.js";
import { localise } from "./pages.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);
const QUIET = 300; // milliseconds; several events at once fetch the part once

const run = document.querySelector("#run");
const model = document.querySelector("#model");
const written = new Map(); // message id -> the element that holds its text
let due = null;

async function refresh() {
  due = null;
  const answer = await fetch(run.dataset.timeline, { cache: "no-store" });
  if (!answer.ok) return;
  const open = [...run.querySelectorAll("details")].map((item) => item.open);
  run.innerHTML = await answer.text(); // our own server's, escaped there
  run.querySelectorAll("details").forEach((item, place) => (item.open = open[place] ?? false));
  localise(run);
}

function soon() {
  due ??= setTimeout(refresh, QUIET);
}

function textOf(content) {
  if (typeof content === "string") return content;
  return content.filter((block) => block.type === "text").map((block) => block.text).join("");
}

function write([message]) {
  const text = textOf(message.content ?? "");
  const isWhole = message.type === "ai";
  if (!text || (!isWhole && message.type !== "AIMessageChunk") || (isWhole && written.has(message.id))) return;
  if (!written.has(message.id)) {
    const line = document.createElement("li");
    model.querySelector("ol").append(line);
    model.hidden = false;
    written.set(message.id, line);
  }
  written.get(message.id).append(text);
}

follow(run.dataset.events, (name, data) => {
  if (name === "messages") write(data);
  else soon();
  return name === "status" && ENDED.has(data.status);
});
