// Parts of a page as they change, for as long as the page says that something may: `data-live`.
// A part is marked `data-changes`, and is found again by that name in the element above it, by its id.

import { localise } from "./pages.js";

const EVERY = 3000; // milliseconds

const changing = (page) => page.querySelector("[data-live]") !== null;

function replace(part, now) {
  const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  part.replaceChildren(...now.childNodes);
  if (focused) part.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

async function refresh() {
  if (document.hidden) return true;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return true;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  localise(page);
  for (const part of document.querySelectorAll("[id] > [data-changes]")) {
    const above = page.getElementById(part.parentElement.id); // gone where newer runs pushed it to the next page
    const now = above?.querySelector(`[data-changes="${part.dataset.changes}"]`);
    if (now && now.innerHTML !== part.innerHTML) replace(part, now);
  }
  return changing(page);
}

async function watch() {
  if (await refresh()) setTimeout(watch, EVERY);
}

if (changing(document)) setTimeout(watch, EVERY);
