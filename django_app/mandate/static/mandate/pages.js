// Times in the reader's own zone; without JavaScript they stand in the server's, with its name.

const shown = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = shown.format(new Date(time.dateTime));
  }
}

localise(document);
document.querySelector("[aria-invalid=true]")?.focus();
