// Single keys lead to what a page offers; Enter then does it. Inside fields they are letters, and whoever
// speaks to their computer can switch them off (WCAG 2.1.4).

const OFF = "mandate-keys-off";
const PLACE = `mandate-place:${location.pathname}`; // where the focus was in this list
const FIELDS = "input:not([type=hidden]), textarea, select";

const help = document.querySelector("#keys");
const isOn = help.querySelector("#keys-on");
const items = [...document.querySelectorAll("[data-item]")];

function isTyping(target) {
  return target.matches(`${FIELDS}, [contenteditable]`) && !target.matches("[type=checkbox], [type=radio]");
}

function lead(element) {
  const closed = element.closest("details");
  if (closed) closed.open = true;
  const isField = element.matches(FIELDS);
  const first = isField ? null : (element.matches("summary") ? closed : element).querySelector(FIELDS);
  const target = first ?? element;
  target.focus();
  target.scrollIntoView({ block: "nearest" });
}

function remember(item) {
  sessionStorage.setItem(PLACE, JSON.stringify({ href: item.href, number: items.indexOf(item) }));
}

// Comes back to the item that was looked at, or to the one that took its place.
function comeBack() {
  const kept = JSON.parse(sessionStorage.getItem(PLACE));
  if (kept === null || !document.referrer.startsWith(location.origin)) return;
  const item = items.find(({ href }) => href === kept.href) ?? items[Math.min(kept.number, items.length - 1)];
  item?.focus();
}

function step(by) {
  const at = items.indexOf(document.activeElement);
  items[at < 0 ? 0 : Math.max(0, Math.min(at + by, items.length - 1))].focus();
}

function press(key) {
  const element = document.querySelector(`[data-key="${key}"]`);
  if (key === "?") {
    help.open = true;
    help.querySelector("summary").focus();
  } else if (items.length && (key === "j" || key === "k")) step(key === "j" ? 1 : -1);
  else if (items.includes(document.activeElement)) location.assign(`${document.activeElement.href}#${key}`);
  else if (element?.matches("a")) element.click();
  else if (element) lead(element);
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  const isPlain = !(event.ctrlKey || event.metaKey || event.altKey || event.isComposing);
  if (!isPlain || !isOn.checked || !"jkaecr?".includes(event.key) || isTyping(event.target)) return;
  if (press(event.key)) event.preventDefault();
});

isOn.checked = localStorage.getItem(OFF) === null;
isOn.addEventListener("change", () => {
  if (isOn.checked) localStorage.removeItem(OFF);
  else localStorage.setItem(OFF, "off");
});
isOn.parentElement.hidden = false;
for (const item of items) item.addEventListener("focus", () => remember(item));
const asked = document.querySelector(`[data-key="${CSS.escape(location.hash.slice(1))}"]`);
if (asked) lead(asked);
else if (items.length) comeBack();
