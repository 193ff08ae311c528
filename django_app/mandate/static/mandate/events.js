// Server-sent events over `fetch`: unlike EventSource it gives events of any name, and says why it failed.

const RETRY = 1000; // milliseconds before the first try again; doubled up to the most
const MOST = 15000;

function parsed(frame) {
  const event = { name: "message", data: "", id: null };
  for (const line of frame.split(/\r\n|\n|\r/)) {
    if (line.startsWith("event:")) event.name = line.slice(6).trim();
    else if (line.startsWith("data:")) event.data += line.slice(5).trimStart();
    else if (line.startsWith("id:")) event.id = line.slice(3).trim();
  }
  return event.data ? event : null;
}

async function* framesOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split(/\r\n\r\n|\n\n/);
      rest = parts.pop();
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// Calls `act(name, data)` for each event, once, until it returns true; goes on where a broken stream ended.
export async function follow(url, act) {
  let last = null;
  let wait = RETRY;
  for (;;) {
    try {
      const headers = last === null ? {} : { "Last-Event-ID": last };
      const answer = await fetch(url, { headers, cache: "no-store" });
      if (answer.status >= 400 && answer.status < 500) return;
      if (answer.ok) {
        for await (const frame of framesOf(answer)) {
          const event = parsed(frame);
          if (event === null) continue;
          wait = RETRY;
          last = event.id ?? last;
          if (act(event.name.split("|")[0], JSON.parse(event.data))) return;
        }
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // how `fetch` says that the network failed
    }
    await new Promise((resume) => setTimeout(resume, wait));
    wait = Math.min(wait * 2, MOST);
  }
}
