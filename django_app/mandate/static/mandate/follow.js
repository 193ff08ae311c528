// Follows one run: the ledger's lines come as a part of the page, the model's words as they are written.

import { follow } from "./events.js";
import { retried, write } from "./messages.js";
import { localise } from "./pages.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);
const QUIET = 300; // milliseconds; several events at once fetch the part once
const AWAY = 2000; // milliseconds until a part that could not be fetched is asked for again

const run = document.querySelector("#run");
const model = document.querySelector("#model");
const list = model.querySelector("ol");
let due = null;
let isFresh = false; // what the server wrote into the list is gone; the events tell it again
let began = null; // when the fetch that is on its way began
let missed = false; // something happened since
let version = `"${run.dataset.version}"`; // of what is shown

function reachable() {
  return [...run.querySelectorAll("a, button, summary, pre")];
}

function replace(html) {
  const open = [...run.querySelectorAll("details")].map((item) => item.open);
  const focused = document.activeElement;
  const sameText = (item) => item.tagName === focused.tagName && item.textContent === focused.textContent;
  const place = reachable().filter(sameText).indexOf(focused);
  run.innerHTML = html; // our own server's, escaped there
  run.querySelectorAll("details").forEach((item, number) => (item.open = open[number] ?? false));
  if (place >= 0) reachable().filter(sameText)[place]?.focus({ preventScroll: true });
  localise(run);
}

// One after the other, so that no older answer comes after a newer one; on a slow server less often.
async function refresh() {
  due = null;
  if (began !== null) {
    missed = true;
    return;
  }
  began = performance.now();
  try {
    await fetched();
  } finally {
    const took = performance.now() - began;
    began = null;
    if (missed) soon(Math.max(QUIET, took));
    missed = false;
  }
}

async function fetched() {
  try {
    const headers = { "If-None-Match": version };
    const answer = await fetch(run.dataset.timeline, { headers, cache: "no-store", redirect: "error" });
    if (answer.ok) {
      replace(await answer.text());
      version = answer.headers.get("ETag");
    }
    else if (answer.status >= 500) soon(AWAY);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // how `fetch` says that the network failed
    soon(AWAY);
  }
}

function soon(wait = QUIET) {
  due ??= setTimeout(refresh, wait);
}

function tell(name, data) {
  if (!isFresh) list.replaceChildren();
  isFresh = true;
  const isShown = name === "retry" ? retried(list, data) : write(list, data);
  if (isShown) model.hidden = false;
}

follow(run.dataset.events, (name, data) => {
  if (name === "messages" || name === "retry") tell(name, data);
  else soon();
  return name === "status" && ENDED.has(data.status);
});
