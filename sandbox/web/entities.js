// Message text with its entities, as DOM nodes. Offsets are UTF-16 code units, which is what JavaScript counts in.

import { h, icon, safeUrl } from "./dom.js";
import { t } from "./i18n.js";

const PLAIN = { bold: "strong", italic: "em", underline: "u", strikethrough: "s" };
const BLOCKS = new Set(["pre", "blockquote", "expandable_blockquote"]);

/** Nodes for `text`; `actions.command(text)` and `actions.link(event, url)` are called on taps. */
export function renderText(text, entities, actions) {
  const sorted = (entities ?? [])
    .filter((one) => one.length > 0 && one.offset >= 0 && one.offset < text.length)
    .sort((a, b) => a.offset - b.offset || b.length - a.length);
  return renderRange(text, 0, text.length, sorted, actions);
}

function renderRange(text, start, end, entities, actions) {
  const nodes = [];
  let at = start;
  let rest = entities;
  while (rest.length > 0) {
    const [entity, ...others] = rest;
    const from = Math.max(entity.offset, at);
    const to = Math.min(entity.offset + entity.length, end);
    // An entity that begins inside another belongs to it; it is cut at the end of the other, so that the tree stays a tree.
    const inner = others.filter((one) => one.offset < to);
    rest = others.filter((one) => one.offset >= to);
    if (to <= from) continue;
    if (from > at) nodes.push(text.slice(at, from));
    nodes.push(wrap(entity, text.slice(from, to), renderRange(text, from, to, inner, actions), actions));
    // A block ends its own line: the line feed after it would be shown as an empty line.
    at = BLOCKS.has(entity.type) && text[to] === "\n" && to < end ? to + 1 : to;
  }
  if (at < end) nodes.push(text.slice(at, end));
  return nodes;
}

function wrap(entity, raw, children, actions) {
  const { type } = entity;
  if (PLAIN[type]) return h(PLAIN[type], {}, children);
  switch (type) {
    case "code":
      return h("code", {}, children);
    case "pre":
      return h("pre", { "data-language": entity.language || null, tabindex: "0", "aria-label": t("code") }, h("code", {}, children));
    case "blockquote":
      return h("blockquote", {}, children);
    case "expandable_blockquote":
      return expandable(children);
    case "spoiler":
      return spoiler(children);
    case "bot_command":
      return h("button", { type: "button", class: "link", onclick: () => actions.command(raw) }, children);
    case "url":
    case "text_link":
      return link(type === "url" ? raw : entity.url, children, actions);
    case "email":
      return link(`mailto:${raw}`, children, actions);
    case "phone_number":
      return link(`tel:${raw.replace(/[^+\d]/g, "")}`, children, actions);
    case "mention":
      return link(`https://t.me/${raw.slice(1)}`, children, actions);
    case "hashtag":
    case "cashtag":
    case "text_mention":
      return h("span", { class: "tag" }, children);
    default:
      return h("span", {}, children);
  }
}

function link(address, children, actions) {
  const href = safeUrl(address);
  if (!href) return h("span", {}, children);
  const open = (event) => actions.link(event, href);
  return h("a", { href, target: "_blank", rel: "noopener noreferrer", title: href, onclick: open }, children);
}

function spoiler(children) {
  const hidden = h("span", { class: "spoiler-text", "aria-hidden": "true" }, children);
  const node = h("span", { class: "spoiler", role: "button", tabindex: "0", "aria-label": t("showSpoiler") }, hidden);
  const show = (event) => {
    if (node.classList.contains("shown") || (event.type === "keydown" && !["Enter", " "].includes(event.key))) return;
    event.preventDefault();
    node.classList.add("shown");
    for (const name of ["role", "tabindex", "aria-label"]) node.removeAttribute(name);
    hidden.removeAttribute("aria-hidden");
  };
  node.addEventListener("click", show, true);
  node.addEventListener("keydown", show);
  return node;
}

function expandable(children) {
  const body = h("div", { class: "fold-body" }, children);
  const toggle = h("button", { type: "button", class: "fold-toggle", "aria-expanded": "false", "aria-label": t("unfold") }, icon("down"));
  const node = h("blockquote", { class: "fold" }, body, toggle);
  toggle.addEventListener("click", () => {
    toggle.setAttribute("aria-expanded", String(node.classList.toggle("open")));
  });
  // Only a quote that is cut needs a way to show it whole, and whether it is cut depends on the width.
  new ResizeObserver(() => {
    if (!node.classList.contains("open")) toggle.hidden = body.scrollHeight <= body.clientHeight + 1;
  }).observe(body);
  return node;
}
