// The list of runs: status and cost as they change, for as long as one of the runs shown may change.

const EVERY = 3000; // milliseconds

const changing = (page) => page.querySelector("table[data-live]") !== null;

async function refresh() {
  if (document.hidden) return true;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return true;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const cell of document.querySelectorAll("[id] > [data-changes]")) {
    const row = page.getElementById(cell.parentElement.id); // gone where newer runs pushed it to the next page
    const now = row?.querySelector(`[data-changes="${cell.dataset.changes}"]`);
    if (now && now.innerHTML !== cell.innerHTML) cell.replaceChildren(...now.childNodes);
  }
  return changing(page);
}

async function watch() {
  if (await refresh()) setTimeout(watch, EVERY);
}

if (changing(document)) setTimeout(watch, EVERY);
