// The whole page: whose chat is open, what the server sends, which part of the page shows it.

import { api, listen } from "./api.js";
import { acceptFiles, askAttachment } from "./attach.js";
import { Composer } from "./composer.js";
import { confirmPay, offerLink, showAlert } from "./dialogs.js";
import { $, invoiceLink, startPayload, toast } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Head } from "./head.js";
import { currentLanguage, setLanguage, t, translatePage } from "./i18n.js";
import { Presses } from "./keyboards.js";
import { askNewUser, renderPeople } from "./people.js";
import { Timeline } from "./timeline.js";

const POLL_MS = 3000;
const LAST = "sandbox.person";
const WIDE = matchMedia("(min-width: 720px)");

const state = { bot: null, users: [], uid: null, blocked: false, online: true, loaded: false, about: "" };
const presses = new Presses();
const head = new Head();
const timeline = new Timeline({ command: sendText, link: openLink, press, pay, fill: (text) => composer.fill(text) });
const composer = new Composer({ send: sendText, attach, unblock });
const drawer = new Drawer({ user: activeUser, changed: reload });
let stopListening = () => {};
let early = null;
let outbox = Promise.resolve();

function activeUser() {
  return state.users.find((one) => one.id === state.uid) ?? null;
}

function draw() {
  const user = activeUser();
  const empty = user ? state.loaded && timeline.empty : state.users.length > 0;
  $("app").classList.toggle("in-chat", state.uid !== null);
  renderPeople(state.users, state.uid, (uid) => { location.hash = String(uid); });
  head.draw({ user, bot: state.bot, online: state.online, empty, about: state.about });
  composer.setState({ blocked: state.blocked, empty, ready: user !== null && Boolean(state.bot), settled: state.loaded });
}

// ---- what the server sends ----

async function loadState() {
  const { bot, users } = await api.state();
  const another = bot?.id !== state.bot?.id;
  Object.assign(state, { bot, users });
  state.blocked = activeUser()?.blocked ?? false;
  draw();
  if (another) await loadMessages();
}

async function loadMessages() {
  const { uid } = state;
  if (uid === null) return;
  const missed = [];
  early = missed;
  try {
    const chat = await api.messages(uid);
    if (uid !== state.uid) return;
    Object.assign(state, { blocked: chat.blocked, about: chat.description ?? "", loaded: true });
    timeline.replace(chat.messages);
    composer.setCommands(chat.commands);
    composer.offerKeyboard(chat.reply_keyboard);
    // Events that came while the answer was on its way may be missing in it.
    for (const [kind, data] of missed) apply(kind, data);
  } finally {
    if (early === missed) early = null;
  }
  draw();
}

async function reload() {
  await loadState();
  if (activeUser()) await loadMessages();
  else location.hash = "";
}

function received(uid, kind, data) {
  if (uid !== state.uid) return;
  if (early) early.push([kind, data]);
  else apply(kind, data);
}

function apply(kind, data) {
  switch (kind) {
    case "message":
      if (!data.message.outgoing) head.show("");
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
      return head.show(data.action);
    case "commands":
      return composer.setCommands(data.commands);
    case "keyboard":
      return composer.setKeyboard(data.reply_keyboard);
    case "draft":
      return timeline.setDraft(data.text ?? "", data.text === "");
    case "reaction":
      return timeline.react(data.message_id, data.reaction);
    case "users":
      return guarded(loadState);
    case "reset":
      return guarded(startAgain);
    default:
      return undefined;
  }
}

function openChat(uid) {
  if (uid === state.uid) return;
  stopListening();
  Object.assign(state, { uid, blocked: false, loaded: false, about: "" });
  timeline.clear();
  composer.switchTo(uid);
  head.show("");
  draw();
  // A question about one chat must not be answered in another, and without an open chat the panel has no person to show.
  for (const dialog of document.querySelectorAll("dialog")) dialog.close("");
  if (uid === null) return drawer.show(false);
  drawer.draw();
  stopListening = listen(uid, {
    event: (kind, data) => received(uid, kind, data),
    opened: () => guarded(reload),
    lost: () => setOnline(false),
  });
}

function setOnline(online) {
  state.online = online;
  draw();
}

/** Runs a step that needs the server; if it fails, the event stream or the poll tries again. */
async function guarded(step) {
  try {
    await step();
    if (!state.online) setOnline(true);
  } catch {
    setOnline(false);
  }
}

// ---- what the person does ----

/** Runs a step on behalf of the person; shows what went wrong. Returns whether it succeeded. */
async function attempt(step) {
  try {
    await step();
    return true;
  } catch (error) {
    toast(error.message, "bad");
    return false;
  }
}

/** Posts in the order of the clicks; returns whether it was sent. */
function post(call) {
  const { uid } = state;
  outbox = outbox.then(() => attempt(async () => {
    const { messages } = await call(uid);
    if (uid !== state.uid) return;
    for (const one of messages ?? []) timeline.upsert({ ...one, outgoing: true });
    draw();
  }));
  return outbox;
}

async function sendText(text) {
  if (!state.blocked) return post((uid) => api.sendText(uid, text));
  toast(t("blockedSend"), "bad");
  return false;
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
  if (url) return isOwnLink(url) || offerLink(url);
  if (!text) return undefined;
  return alert ? showAlert(text) : toast(text);
}

async function pay(button, message) {
  if (!(await confirmPay(message.invoice))) return;
  button.setAttribute("aria-busy", "true");
  await settle({ message_id: message.message_id });
  button.setAttribute("aria-busy", "false");
}

function settle(invoice) {
  return attempt(async () => {
    const { ok, error } = await api.pay(state.uid, invoice);
    if (ok === false) await showAlert(error === "BOT_PRECHECKOUT_TIMEOUT" ? t("payTimeout") : error);
  });
}

/** Links to this bot's own Start and to invoices work inside the chat; returns whether this was one. */
function isOwnLink(url) {
  const payload = startPayload(url, state.bot?.username);
  if (payload !== null) sendText(`/start ${payload}`.trim());
  else if (invoiceLink(url)) confirmPay(null).then((agreed) => agreed && settle({ link: invoiceLink(url) }));
  else return false;
  return true;
}

function openLink(event, url) {
  if (isOwnLink(url)) event.preventDefault();
}

function unblock() {
  return attempt(async () => {
    await api.setBlocked(state.uid, false);
    await reload();
    drawer.draw();
  });
}

async function startAgain() {
  timeline.clear();
  composer.setKeyboard(null);
  await reload();
}

async function addUser() {
  const fields = await askNewUser();
  if (!fields) return;
  await attempt(async () => {
    const user = await api.addUser(fields);
    await loadState();
    location.hash = String(user.id);
  });
}

// ---- the page ----

function route() {
  const wanted = Number(location.hash.slice(1)) || null;
  const known = state.users.some((one) => one.id === wanted);
  if (known) localStorage.setItem(LAST, wanted);
  openChat(known ? wanted : WIDE.matches ? state.users[0]?.id ?? null : null);
}

function translate() {
  translatePage();
  $("language-switch").textContent = t("otherLanguage");
  composer.placeholder();
  timeline.sync();
  drawer.draw();
  draw();
}

async function begin() {
  $("language-switch").addEventListener("click", () => {
    setLanguage(currentLanguage() === "ru" ? "en" : "ru");
    translate();
  });
  $("back").addEventListener("click", () => { location.hash = ""; });
  $("new-user").addEventListener("click", addUser);
  acceptFiles(attach);
  window.addEventListener("hashchange", route);
  WIDE.addEventListener("change", route);
  translate();
  await guarded(loadState);
  // After a payment the browser returns to the page's plain address, which does not name the person.
  const last = localStorage.getItem(LAST);
  if (last && WIDE.matches && !location.hash) history.replaceState(null, "", `#${last}`);
  route();
  // Without an open chat there is no event stream, and a bot that connects causes no event: ask from time to time.
  setInterval(() => {
    if (document.hidden || (state.uid !== null && state.bot && state.online)) return;
    guarded(async () => {
      await loadState();
      if (state.uid === null) route();
    });
  }, POLL_MS);
}

begin();
