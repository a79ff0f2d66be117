// One message (or one album) as a bubble. Parts are redrawn only when they change, so that an edit of the text does
// not disturb a playing video or a waiting button.

import { h, icon } from "./dom.js";
import { renderText } from "./entities.js";
import { currentLanguage, formatMoney, formatTime, t } from "./i18n.js";
import { inlineRows, renderInline } from "./keyboards.js";
import { hasMedia, isVisual, mediaSignature, renderMedia } from "./media.js";

export function createRow() {
  const slots = { media: h("div", { class: "slot-media" }), text: h("div", { class: "slot-text" }), keyboard: h("div", { class: "slot-keyboard" }) };
  const bubble = h("article", { class: "bubble" }, slots.media, slots.text);
  const row = h("div", {}, h("div", { class: "stack" }, bubble, slots.keyboard));
  return { row, bubble, slots, signatures: {} };
}

/** Brings a row up to date with its group: `{messages, outgoing, first, last, answered}`. */
export function updateRow(view, group, actions) {
  const { messages } = group;
  const [message] = messages;
  // Most rows have not changed: hundreds of messages must not be compared word by word at every edit.
  const made = [...messages, group.outgoing, group.first, group.last, group.answered, currentLanguage()];
  if (view.made?.length === made.length && made.every((one, index) => one === view.made[index])) return;
  view.made = made;
  const captioned = messages.find((one) => one.text ?? one.caption) ?? message;
  const visual = messages.every(isVisual);
  const bare = visual && !captioned.caption && !message.reply_to_message;
  const service = serviceText(message);
  view.row.className = service
    ? "row service"
    : ["row", group.outgoing ? "out" : "in", group.first && "first", group.last && "last"].filter(Boolean).join(" ");
  view.bubble.className = ["bubble", visual && "visual", bare && "bare", isPlainFile(messages, captioned) && "plain-file", messages.some((one) => one.show_caption_above_media) && "caption-above"]
    .filter(Boolean).join(" ");
  view.row.dataset.messageId = String(message.message_id);
  const patch = (slot, signature, build) => {
    const wanted = `${currentLanguage()} ${signature}`;
    if (view.signatures[slot] === wanted) return;
    view.signatures[slot] = wanted;
    view.slots[slot].replaceChildren(...[build()].flat().filter(Boolean));
  };
  patch("media", mediaSignature(messages), () => renderMedia(messages, actions));
  patch("text", JSON.stringify([captioned, messages.length, messages.at(-1).reaction, group.answered, service]), () => (service ? service : body(captioned, messages, group, actions)));
  patch("keyboard", JSON.stringify(inlineRows(message)), () => renderInline(message, actions));
}

const isPlainFile = (messages, captioned) => messages.every((one) => one.document && !one.animation) && !captioned.caption;

function body(captioned, messages, group, actions) {
  const text = captioned.text ?? captioned.caption ?? "";
  const entities = captioned.entities ?? captioned.caption_entities;
  const parts = [];
  const replied = messages[0].reply_to_message;
  if (replied) parts.push(quote(replied, actions));
  if (captioned.invoice) parts.push(invoice(captioned.invoice));
  if (text) parts.push(...renderText(text, entities, actions));
  else if (!captioned.invoice && !hasMedia(captioned)) {
    parts.push(h("em", { class: "faint" }, t("unsupported")));
  }
  return [h("div", { class: "text", dir: "auto" }, parts, meta(messages.at(-1), group))];
}

function quote(replied, actions) {
  const words = replied.text ?? replied.caption ?? t("message");
  const go = () => actions.showMessage(replied.message_id);
  return h("button", { type: "button", class: "quote", onclick: go }, words.slice(0, 140));
}

function meta(message, group) {
  const tick = group.answered ? "checks" : "check";
  const hint = group.answered ? t("answered") : t("delivered");
  return h("span", { class: "meta" },
    message.reaction?.[0]?.emoji && h("span", { class: "reaction" }, message.reaction[0].emoji),
    message.edit_date && !group.outgoing && h("span", { class: "edited" }, t("edited")),
    h("time", { datetime: new Date(message.date * 1000).toISOString() }, formatTime(message.date)),
    group.outgoing && h("span", { class: "ticks", role: "img", "aria-label": hint, title: hint }, icon(tick)));
}

function invoice(bill) {
  return h("div", { class: "invoice" },
    h("div", { class: "invoice-title" }, bill.title),
    h("div", { class: "invoice-about" }, bill.description),
    h("div", { class: "invoice-sum" }, `${t("invoice")} · ${formatMoney(bill.total_amount, bill.currency)}`));
}

function serviceText(message) {
  const done = message.successful_payment ?? message.refunded_payment;
  if (!done) return null;
  return t(message.successful_payment ? "paid" : "refunded", formatMoney(done.total_amount, done.currency));
}
