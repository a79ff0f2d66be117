// The messages of one chat: order, albums, days, and a scroll position that never jumps.

import { createRow, updateRow } from "./bubble.js";
import { $, h } from "./dom.js";
import { formatDay, t } from "./i18n.js";
import { largest, openLightbox } from "./media.js";

const JOIN_SECONDS = 300;
const BOTTOM_SLACK = 60;
const DRAFT_MS = 30_000;

export class Timeline {
  constructor(actions) {
    this.actions = { ...actions, openPhoto: (fileId) => this.openPhoto(fileId), showMessage: (id) => this.showMessage(id) };
    this.scroller = $("timeline");
    this.list = $("timeline-list");
    this.pill = $("pill");
    this.messages = new Map();
    this.views = new Map();
    this.stuck = true;
    this.unseen = 0;
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.pill.addEventListener("click", () => this.toBottom(true));
    const keep = new ResizeObserver(() => this.stuck && this.toBottom());
    keep.observe(this.list);
    keep.observe(this.scroller);
  }

  get empty() {
    return this.messages.size === 0;
  }

  /** Another chat: forget everything that is shown. */
  clear() {
    this.messages.clear();
    this.views.clear();
    this.list.replaceChildren();
    this.setDraft("");
    this.stuck = true;
    this.unseen = 0;
    this.drawPill();
  }

  /** The whole chat as the server has it now (after opening it or after a lost connection). */
  replace(messages) {
    const fresh = messages.filter((one) => !this.messages.has(one.message_id)).length;
    const known = this.messages.size > 0;
    this.messages = new Map(messages.map((one) => [one.message_id, one]));
    if (known && !this.stuck) this.unseen += fresh;
    this.sync();
  }

  upsert(message) {
    const isNew = !this.messages.has(message.message_id);
    this.messages.set(message.message_id, message);
    if (isNew && !message.outgoing) this.setDraft("");
    if (isNew && message.outgoing) this.stuck = true;
    else if (isNew && !this.stuck) this.unseen += 1;
    this.sync();
  }

  react(id, reaction) {
    const message = this.messages.get(id);
    if (message) this.upsert({ ...message, reaction });
  }

  remove(ids) {
    for (const id of ids) this.messages.delete(id);
    this.sync();
  }

  /** A message that the bot is still writing; empty text with `thinking` shows that it thinks, without it the draft ends. */
  setDraft(text, thinking = false) {
    clearTimeout(this.draftTimer);
    this.draft?.remove();
    this.draft = null;
    if (!text && !thinking) return;
    this.draft = h("div", { class: "row in first last draft" },
      h("div", { class: "stack" }, h("div", { class: "bubble" }, h("div", { class: "text" }, text || t("thinking")))));
    this.list.append(this.draft);
    this.draftTimer = setTimeout(() => this.setDraft(""), DRAFT_MS);
  }

  sync() {
    const groups = group([...this.messages.values()].sort((a, b) => a.message_id - b.message_id));
    const wanted = new Map();
    for (const one of groups) {
      if (one.day) wanted.set(`day ${one.day}`, { day: one.day });
      wanted.set(one.key, { group: one });
    }
    for (const [key, view] of this.views) {
      if (wanted.has(key)) continue;
      view.row.remove();
      this.views.delete(key);
    }
    let cursor = this.list.firstChild;
    for (const [key, entry] of wanted) {
      let view = this.views.get(key);
      if (!view) this.views.set(key, (view = entry.day ? { row: h("div", { class: "day" }, h("span", {})) } : createRow()));
      if (entry.day) view.row.firstChild.textContent = formatDay(dayStart(entry.day));
      else updateRow(view, entry.group, this.actions);
      if (view.row === cursor) cursor = cursor.nextSibling;
      else this.list.insertBefore(view.row, cursor);
    }
    if (this.draft) this.list.append(this.draft);
    if (this.stuck) this.toBottom();
    this.drawPill();
  }

  openPhoto(fileId) {
    const shown = [...this.messages.values()].filter((one) => one.photo?.length).sort((a, b) => a.message_id - b.message_id);
    const photos = shown.map((one) => ({ file_id: largest(one.photo).file_id, caption: one.caption }));
    return openLightbox(photos, photos.findIndex((one) => one.file_id === fileId));
  }

  showMessage(id) {
    const row = this.list.querySelector(`[data-message-id="${Number(id)}"]`);
    if (!row) return;
    this.stuck = false;
    row.scrollIntoView({ block: "center" });
    row.classList.add("flash");
    setTimeout(() => row.classList.remove("flash"), 1200);
  }

  toBottom(smooth = false) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.stuck = true;
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: smooth && !calm ? "smooth" : "instant" });
    this.unseen = 0;
    this.drawPill();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const goingDown = scrollTop >= (this.lastTop ?? 0);
    this.lastTop = scrollTop;
    const near = scrollHeight - scrollTop - clientHeight < BOTTOM_SLACK;
    // When content below grows, the bottom moves away without a scroll up; only a scroll by the reader stops following.
    if (near) this.stuck = true;
    else if (!goingDown) this.stuck = false;
    if (this.stuck) this.unseen = 0;
    this.drawPill();
  }

  drawPill() {
    this.pill.hidden = this.stuck;
    this.pill.textContent = this.unseen > 0 ? t("newMessages", this.unseen) : "↓";
    this.pill.setAttribute("aria-label", this.unseen > 0 ? this.pill.textContent : t("toBottom"));
    this.pill.classList.toggle("fresh", this.unseen > 0);
  }
}

const dayOf = (seconds) => new Date(seconds * 1000).toLocaleDateString("sv");
const dayStart = (day) => new Date(`${day}T12:00`).getTime() / 1000;

/** Messages in order → bubbles: albums together, neighbours of one side joined, a day before the first of each day. */
function group(messages) {
  const groups = [];
  for (const message of messages) {
    const album = message.media_group_id && `album ${message.media_group_id}`;
    const previous = groups.at(-1);
    if (album && previous?.key === album) previous.messages.push(message);
    else groups.push({ key: album || `message ${message.message_id}`, messages: [message], outgoing: Boolean(message.outgoing) });
  }
  let answered = false;
  for (let index = groups.length - 1; index >= 0; index -= 1) {
    const one = groups[index];
    one.answered = one.outgoing && answered;
    answered ||= !one.outgoing;
  }
  groups.forEach((one, index) => {
    const previous = groups[index - 1];
    const date = one.messages[0].date;
    const day = dayOf(date);
    if (!previous || dayOf(previous.messages[0].date) !== day) one.day = day;
    const joined = previous && !one.day && previous.outgoing === one.outgoing && date - previous.messages.at(-1).date < JOIN_SECONDS;
    one.first = !joined;
    one.last = true;
    if (joined) previous.last = false;
  });
  return groups;
}
