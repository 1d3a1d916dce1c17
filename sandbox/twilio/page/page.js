// Shows the newest messages with their callbacks, and reads them again every second.
"use strict";

const REFRESH_MILLISECONDS = 1000;
const SHOWN = 100;
const FAILED = new Set(["failed", "undelivered"]);
const DONE = new Set(["delivered", "read", "canceled"]);
const FAILURES = {
  name_not_resolved: "host name not found",
  connection_failed: "no connection",
  tls_failed: "TLS failed",
  certificate_name_mismatch: "certificate of another name",
  certificate_expired: "certificate expired",
  certificate_untrusted: "certificate not trusted",
  no_response: "no response",
  broken_response: "incomplete response",
};
const STATES = {
  held: "held back until a later one is answered",
  due: "is sent now",
  in_flight: "waits for an answer",
  lost: "lost: the recipient's scenario loses it",
};

const byId = (id) => document.getElementById(id);
let shown = "";

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function statusClass(status) {
  if (FAILED.has(status)) return "bad";
  return DONE.has(status) ? "good" : "open";
}

// "503 three times, then 204" as "503 ×3, 204".
function answers(callback) {
  const groups = [];
  for (const { result } of callback.attempts) {
    const text = result.failure ? FAILURES[result.failure] : String(result.status);
    if (groups.at(-1)?.text === text) groups.at(-1).count += 1;
    else groups.push({ text, count: 1 });
  }
  const texts = groups.map(({ text, count }) => (count > 1 ? `${text} ×${count}` : text));
  const state = STATES[callback.state];
  return [...texts, ...(state ? [state] : [])].join(", ");
}

function callbackClass(callback) {
  return { answered: "good", failed: "bad", lost: "dim" }[callback.state] ?? "open";
}

function signer({ signing }) {
  return signing ? `the shared key ${signing.key_id}, ${signing.algorithm}` : "the auth token";
}

function callbackItem(callback, previous) {
  const item = element("li");
  const status = callback.parameters.find(([name]) => name === "MessageStatus")?.[1];
  item.append(element("span", "name", status));
  item.append(element("span", `answers ${callbackClass(callback)}`, answers(callback)));
  // Where it goes is shown once for callbacks that are sent alike.
  const way = (it) => `${it.url} ${signer(it)}`;
  if (!previous || way(callback) !== way(previous)) {
    const line = element("span", "way");
    line.append(element("code", "", callback.url), ` signed with ${signer(callback)}`);
    item.append(line);
  }
  return item;
}

// In UTC, like every time that the command line and the notices show.
function timeOf(message) {
  return `${new Date(message.date_created).toISOString().slice(11, 19)} UTC`;
}

function messageItem(message) {
  const item = element("li");
  const head = element("div", "head");
  head.append(element("span", `status ${statusClass(message.status)}`, message.status));
  if (message.error_code) {
    head.append(element("span", "bad", `${message.error_code} ${message.error_message}`));
  }
  head.append(element("span", "to", `to ${message.to}`));
  const sender = message.from ?? message.messaging_service_sid ?? "";
  head.append(element("span", "dim", `from ${sender}`));
  head.append(element("span", "dim", timeOf(message)));
  head.append(element("span", "sid mono", message.sid));
  item.append(head);
  if (message.body) item.append(element("p", "text", message.body));
  if (message.callbacks.length) {
    const list = element("ol", "callbacks");
    message.callbacks.forEach((it, index) => {
      list.append(callbackItem(it, message.callbacks[index - 1]));
    });
    item.append(list);
  } else {
    item.append(element("p", "text dim", "No callbacks: it has no StatusCallback, or none is due."));
  }
  return item;
}

function show(text) {
  if (text === shown) return;
  shown = text;
  const { messages, total } = JSON.parse(text);
  const failing = messages.flatMap((it) => it.callbacks).filter((it) => it.state === "failed");
  const parts = [`${total} ${total === 1 ? "message" : "messages"}`];
  if (total > messages.length) parts.push(`the newest ${messages.length} are shown`);
  if (failing.length) parts.push(`${failing.length} callbacks failed`);
  byId("summary").textContent = parts.join(", ");
  byId("empty").hidden = total > 0;
  byId("messages").replaceChildren(...messages.reverse().map(messageItem));
}

async function refresh() {
  try {
    const response = await fetch(`messages?limit=${SHOWN}`);
    if (!response.ok) throw new Error(response.statusText);
    show(await response.text());
    document.body.classList.remove("gone");
  } catch {
    document.body.classList.add("gone");
  }
  setTimeout(refresh, REFRESH_MILLISECONDS);
}

byId("url").textContent = location.origin;
refresh();
