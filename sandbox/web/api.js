// The sandbox's JSON API and its stream of events.

import { t } from "./i18n.js";

async function call(method, path, body) {
  const form = body instanceof FormData;
  const options = { method, headers: {} };
  if (form) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(t("serverGone"));
  }
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(typeof data.error === "string" ? data.error : `${t("failed")} (${answer.status})`);
  return data;
}

const user = (uid, rest) => `/_chat/users/${encodeURIComponent(uid)}${rest}`;

export const api = {
  state: () => call("GET", "/_chat/state"),
  addUser: (fields) => call("POST", "/_chat/users", fields),
  changeUser: (uid, fields) => call("PATCH", user(uid, ""), fields),
  messages: (uid) => call("GET", user(uid, "/messages")),
  sendText: (uid, text) => call("POST", user(uid, "/send"), { text }),
  sendFiles: (uid, form) => call("POST", user(uid, "/send"), form),
  press: (uid, messageId, data) => call("POST", user(uid, "/press"), { message_id: messageId, data }),
  pay: (uid, invoice) => call("POST", user(uid, "/pay"), invoice),
  setBlocked: (uid, blocked) => call("POST", user(uid, blocked ? "/block" : "/unblock"), {}),
  clock: () => call("GET", "/_control/clock"),
  setClock: (change) => call("POST", "/_control/clock", change),
  faults: () => call("GET", "/_control/faults"),
  planFault: (fault) => call("POST", "/_control/faults", fault),
  clearFaults: () => call("DELETE", "/_control/faults"),
  reset: () => call("POST", "/_control/reset", {}),
};

export const fileUrl = (fileId) => `/_chat/files/${encodeURIComponent(fileId)}`;

const KINDS = ["message", "edit", "delete", "callback_answer", "action", "commands", "keyboard", "users", "reset", "draft", "reaction"];
const RETRY_MS = 1000;

/**
 * Listens to one person's events until stopped; reconnects by itself. `opened` is called at every new connection.
 * A browser opens at most six connections to one address for all its tabs, so a hidden tab closes its own.
 */
export function listen(uid, { event, opened, lost }) {
  let source = null;
  let timer;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const connect = () => {
    source = new EventSource(`/_chat/events?user=${encodeURIComponent(uid)}`);
    source.onopen = opened;
    source.onerror = () => {
      close();
      lost();
      timer = setTimeout(connect, RETRY_MS);
    };
    for (const kind of KINDS) source.addEventListener(kind, ({ data }) => event(kind, JSON.parse(data || "{}")));
  };
  const follow = () => {
    close();
    if (!document.hidden) connect();
  };
  document.addEventListener("visibilitychange", follow);
  follow();
  return () => {
    document.removeEventListener("visibilitychange", follow);
    close();
  };
}
