// What models write, message by message: words and the arguments of calls, as they come.

const written = new Map(); // message id -> { element, calls, whole }
const latest = new Map(); // the step of the graph that asked -> id of the message written for it last

function made(name, className, text) {
  const element = document.createElement(name);
  element.className = className;
  element.append(text);
  return element;
}

function textOf(content) {
  if (typeof content === "string") return content;
  return content.filter((block) => block.type === "text").map((block) => block.text).join("");
}

function placeOf(step) {
  return step.split("|").map((part) => part.split(":")[0]).slice(0, -1).join(" › ");
}

function begin(list, id, step) {
  const element = document.createElement("li");
  if (placeOf(step)) element.append(made("p", "by", placeOf(step)));
  const before = written.get(latest.get(step));
  if (before) {
    before.element.classList.add("again");
    const why = before.whole ? "The same step asked again." : "Cut off here; it is written again.";
    before.element.append(made("p", "note", why));
  }
  const message = { element, text: null, calls: new Map(), whole: false };
  written.set(id, message);
  latest.set(step, id);
  list.append(element);
  return message;
}

function addText(message, text) {
  if (!text) return;
  message.text ??= message.element.appendChild(made("p", "text", ""));
  message.text.append(text);
}

function addCall(message, { name, args, index }) {
  if (!message.calls.has(index)) {
    message.element.append(made("strong", "call", ""), made("pre", "arguments", ""));
    message.calls.set(index, [...message.element.children].slice(-2));
  }
  const [title, shown] = message.calls.get(index);
  if (name) title.append(`Calls ${name}`);
  if (args) shown.append(args);
}

function isEmpty(message) {
  return !textOf(message.content ?? "") && !(message.tool_call_chunks ?? message.tool_calls ?? []).length;
}

// Notes an attempt that failed and is made again.
export function retried(list, { attempt, message }) {
  const element = made("li", "again", "");
  element.append(made("p", "note", `Attempt ${attempt} failed and is made again: ${message}`));
  list.append(element);
  return true;
}

// Adds a piece to `list`, and tells whether there is anything to see.
export function write(list, [piece, from]) {
  const isWhole = piece.type === "ai";
  if (!isWhole && piece.type !== "AIMessageChunk") return false;
  const known = written.get(piece.id);
  if (known && piece.chunk_position === "last") known.whole = true;
  if (isEmpty(piece) || (isWhole && known)) return Boolean(known);
  const message = known ?? begin(list, piece.id, from.langgraph_checkpoint_ns ?? "");
  addText(message, textOf(piece.content ?? ""));
  const calls = isWhole
    ? piece.tool_calls.map(({ name, args }, index) => ({ name, args: JSON.stringify(args), index }))
    : piece.tool_call_chunks;
  for (const call of calls ?? []) addCall(message, call);
  message.whole ||= isWhole;
  return true;
}
