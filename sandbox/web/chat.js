// The page as a whole: who is open, what the server says, which part of the page shows it.

import { api, listen } from "./api.js";
import { acceptFiles, askAttachment } from "./attach.js";
import { Composer } from "./composer.js";
import { $, fillAvatar, h, openDialog, startPayload, toast } from "./dom.js";
import { Drawer } from "./drawer.js";
import { currentLanguage, formatMoney, setLanguage, t, translatePage } from "./i18n.js";
import { Presses } from "./keyboards.js";
import { askNewUser, fullName, renderPeople } from "./people.js";
import { Timeline } from "./timeline.js";

const ACTION_MS = 5000;
const POLL_MS = 3000;

const state = { bot: null, users: [], uid: null, blocked: false, online: true, loaded: false, action: "" };
const presses = new Presses();
let stopListening = () => {};
let early = null;
let outbox = Promise.resolve();
let actionTimer;

const timeline = new Timeline({ command: sendText, link: openLink, press, pay, fill: (text) => composer.fill(text) });
const composer = new Composer({ send: sendText, attach, unblock: () => setBlocked(false) });
const drawer = new Drawer({ user: activeUser, changed: async () => { await loadState(); await loadMessages(); }, reset: startAgain });

function activeUser() {
  return state.users.find((one) => one.id === state.uid) ?? null;
}

// ---- what the server says ----

async function loadState() {
  const { bot, users } = await api.state();
  Object.assign(state, { bot, users });
  draw();
}

async function loadMessages() {
  const { uid } = state;
  if (uid === null) return;
  early = [];
  try {
    const chat = await api.messages(uid);
    if (uid !== state.uid) return;
    state.blocked = chat.blocked;
    state.loaded = true;
    timeline.replace(chat.messages);
    composer.setCommands(chat.commands);
    if (JSON.stringify(chat.reply_keyboard) !== JSON.stringify(composer.markup)) composer.setKeyboard(chat.reply_keyboard);
    // What happened while the answer was on its way may be missing in it.
    for (const [kind, data] of early) apply(kind, data);
  } finally {
    early = null;
  }
  draw();
}

function received(uid, kind, data) {
  if (uid !== state.uid) return;
  if (early) early.push([kind, data]);
  else apply(kind, data);
}

function apply(kind, data) {
  switch (kind) {
    case "message":
      if (!data.message.outgoing) showAction("");
      timeline.upsert(data.message);
      return draw();
    case "edit":
      return timeline.upsert(data.message);
    case "delete":
      timeline.remove(data.message_ids);
      return draw();
    case "callback_answer":
      return answered(data);
    case "action":
      return showAction(data.action);
    case "commands":
      return composer.setCommands(data.commands);
    case "keyboard":
      return composer.setKeyboard(data.reply_keyboard);
    case "draft":
      return timeline.setDraft(data.text ?? "", data.text === "");
    case "users":
      return guarded(loadState);
    default:
      return undefined;
  }
}

function openChat(uid) {
  if (uid === state.uid) return;
  stopListening();
  Object.assign(state, { uid, blocked: false, loaded: false });
  timeline.clear();
  composer.switchTo(uid);
  showAction("");
  draw();
  drawer.draw();
  if (uid === null) return;
  stopListening = listen(uid, {
    event: (kind, data) => received(uid, kind, data),
    opened: () => {
      setOnline(true);
      guarded(async () => { await loadMessages(); await loadState(); });
    },
    lost: () => setOnline(false),
  });
}

function setOnline(online) {
  state.online = online;
  draw();
}

/** Runs a step that needs the server; when it fails the connection is tried again by the event stream or the poll. */
async function guarded(step) {
  try {
    await step();
    if (!state.online) setOnline(true);
  } catch {
    setOnline(false);
  }
}

// ---- what the person does ----

/** Posts in the order of the taps; answers whether it went out. */
function post(call) {
  const { uid } = state;
  const done = outbox.then(async () => {
    try {
      const { messages } = await call(uid);
      if (uid === state.uid) for (const one of messages ?? []) timeline.upsert({ ...one, outgoing: true });
      draw();
      return true;
    } catch (error) {
      toast(error.message, "bad");
      return false;
    }
  });
  outbox = done;
  return done;
}

function sendText(text) {
  if (state.blocked) return toast(t("blockedSend"), "bad") ?? false;
  return post((uid) => api.sendText(uid, text));
}

async function attach(files) {
  if (state.uid === null || state.blocked || !state.bot) return;
  for (const form of await askAttachment(files)) {
    if (!(await post((uid) => api.sendFiles(uid, form)))) return;
  }
}

function press(button, message, data) {
  return presses.start(button, () => api.press(state.uid, message.message_id, data));
}

function answered({ callback_query_id: id, text, show_alert: alert, url }) {
  presses.answered(id);
  if (url) return offerLink(url);
  if (!text) return undefined;
  if (!alert) return toast(text);
  return openDialog(h("dialog", { class: "modal alert", "aria-label": text },
    h("form", { method: "dialog", class: "sheet" }, h("p", {}, text),
      h("div", { class: "sheet-buttons" }, h("span", { class: "grow" }), h("button", { type: "submit", class: "solid-button", id: "alert-ok" }, t("ok"))))));
}

async function pay(button, message) {
  const bill = message.invoice;
  const sum = formatMoney(bill.total_amount, bill.currency);
  const dialog = h("dialog", { class: "modal", "aria-label": t("payTitle") }, h("form", { method: "dialog", class: "sheet" },
    h("h2", {}, t("payTitle")), h("p", {}, `${bill.title}: ${sum}`), h("p", { class: "hint" }, t("payHint")),
    h("div", { class: "sheet-buttons" }, h("span", { class: "grow" }),
      h("button", { type: "submit", class: "text-button", value: "" }, t("cancel")),
      h("button", { type: "submit", class: "solid-button", value: "pay", id: "confirm-pay" }, `${t("pay")} ${sum}`))));
  if ((await openDialog(dialog)) !== "pay") return;
  button.setAttribute("aria-busy", "true");
  await post((uid) => api.pay(uid, message.message_id));
  button.setAttribute("aria-busy", "false");
}

/** A link to this bot's own Start is a message, not a page. */
function openLink(event, url) {
  const payload = startPayload(url, state.bot?.username);
  if (payload === null) return;
  event.preventDefault();
  sendText(payload ? `/start ${payload}` : "/start");
}

function offerLink(url) {
  const payload = startPayload(url, state.bot?.username);
  if (payload !== null) return sendText(payload ? `/start ${payload}` : "/start");
  const dialog = h("dialog", { class: "modal" }, h("form", { method: "dialog", class: "sheet" }, h("p", { class: "wrap" }, url),
    h("div", { class: "sheet-buttons" }, h("span", { class: "grow" }), h("button", { type: "submit", class: "text-button" }, t("cancel")),
      h("a", { class: "solid-button", href: url, target: "_blank", rel: "noopener noreferrer", onclick: () => dialog.close("") }, t("openLink")))));
  return openDialog(dialog);
}

async function setBlocked(blocked) {
  try {
    await api.setBlocked(state.uid, blocked);
    await loadState();
    await loadMessages();
    drawer.draw();
  } catch (error) {
    toast(error.message, "bad");
  }
}

async function startAgain() {
  timeline.clear();
  await loadState();
  if (activeUser()) return loadMessages();
  location.hash = "";
  return undefined;
}

// ---- drawing ----

function draw() {
  const user = activeUser();
  const name = state.bot?.first_name || t("noBotName");
  $("app").classList.toggle("in-chat", state.uid !== null);
  $("bot-name").textContent = name;
  fillAvatar($("bot-avatar"), name, state.bot?.id ?? 4);
  $("writing-as").textContent = user ? t("writingAs", user.first_name) : "";
  document.title = `${user ? `${user.first_name} → ` : ""}${name} · ${t("sandbox")}`;
  renderPeople(state.users, state.uid, (uid) => { location.hash = String(uid); });
  drawStatus();
  drawBanner();
  const empty = state.loaded && timeline.empty;
  composer.setState({ blocked: state.blocked, empty, ready: user !== null && Boolean(state.bot) });
  $("empty").hidden = user !== null && !empty;
  $("empty").replaceChildren(h("div", { class: "empty-card" },
    h("strong", {}, user ? t("emptyTitle") : t("choose")), user && h("span", {}, t("emptyText"))));
}

function drawStatus() {
  const status = $("bot-status");
  const { action } = state;
  const busy = action !== "";
  status.classList.toggle("busy", busy);
  const idle = state.online ? (state.bot ? `@${state.bot.username} · ${t("bot")}` : "") : t("connecting");
  status.replaceChildren(busy ? `${t("action")[action] ?? t("actionOther")}` : idle, ...(busy ? [h("span", { class: "dots", "aria-hidden": "true" })] : []));
}

function showAction(action) {
  clearTimeout(actionTimer);
  state.action = action;
  drawStatus();
  if (action) actionTimer = setTimeout(() => showAction(""), ACTION_MS);
}

function drawBanner() {
  const banner = $("banner");
  banner.hidden = state.online && Boolean(state.bot);
  banner.classList.toggle("bad", !state.online);
  if (!state.online) banner.replaceChildren(t("offline"));
  else if (!state.bot) banner.replaceChildren(t("noBot"), " ", h("code", {}, `TELEGRAM_API_URL=${location.origin}`));
}

function route() {
  const wanted = Number(location.hash.slice(1)) || null;
  const known = state.users.some((one) => one.id === wanted);
  const wide = matchMedia("(min-width: 720px)").matches;
  openChat(known ? wanted : wide ? state.users[0]?.id ?? null : null);
}

function switchLanguage() {
  setLanguage(currentLanguage() === "ru" ? "en" : "ru");
  translate();
  timeline.sync();
  drawer.draw();
  draw();
}

function translate() {
  translatePage();
  $("language-switch").textContent = t("otherLanguage");
  composer.placeholder();
}

async function begin() {
  translate();
  $("language-switch").addEventListener("click", switchLanguage);
  $("back").addEventListener("click", () => { location.hash = ""; });
  $("new-user").addEventListener("click", async () => {
    const fields = await askNewUser();
    if (!fields) return;
    try {
      const user = await api.addUser(fields);
      await loadState();
      location.hash = String(user.id);
    } catch (error) {
      toast(error.message, "bad");
    }
  });
  acceptFiles(attach);
  window.addEventListener("hashchange", route);
  matchMedia("(min-width: 720px)").addEventListener("change", route);
  await guarded(loadState);
  route();
  // Without an open chat there is no event stream, and a bot that connects makes no event: ask now and then.
  setInterval(() => {
    if (document.hidden || (state.uid !== null && state.bot && state.online)) return;
    guarded(async () => {
      await loadState();
      if (state.uid === null) route();
    });
  }, POLL_MS);
}

begin();
