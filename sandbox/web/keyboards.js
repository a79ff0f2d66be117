// The two keyboards of the Bot API: inline (under a message) and reply (under the input).

import { copyText, h, icon, safeUrl, toast } from "./dom.js";
import { formatMoney, t } from "./i18n.js";

const STYLES = new Set(["primary", "success", "danger"]);
const PRESS_LIMIT_MS = 30_000;

/** Buttons that wait for the bot's answer, by callback query id; an answer may come before its id is known. */
export class Presses {
  constructor() {
    this.waiting = new Map();
    this.early = new Set();
  }

  /** Shows the button as waiting until the bot answers the query that `send()` opens, or until the limit. */
  async start(button, send) {
    if (button.getAttribute("aria-busy") === "true") return;
    spin(button, true);
    try {
      const { callback_query_id: id } = await send();
      if (this.early.delete(id)) return spin(button, false);
      const timer = setTimeout(() => this.answered(id, t("noAnswer")), PRESS_LIMIT_MS);
      this.waiting.set(id, { button, timer });
    } catch (error) {
      spin(button, false);
      if (button.isConnected) toast(error.message, "bad");
    }
  }

  answered(id, complaint = "") {
    const press = this.waiting.get(id);
    if (!press) {
      if (this.early.size > 50) this.early.clear();
      this.early.add(id);
      return;
    }
    clearTimeout(press.timer);
    this.waiting.delete(id);
    spin(press.button, false);
    if (complaint && press.button.isConnected) toast(complaint, "bad");
  }
}

function spin(button, on) {
  button.setAttribute("aria-busy", String(on));
}

/** The inline keyboard of a message; an invoice without one gets a Pay button, as in Telegram. */
export function renderInline(message, actions) {
  const rows = inlineRows(message);
  if (rows.length === 0) return null;
  return h("div", { class: "inline-keyboard" },
    rows.map((row) => h("div", { class: "inline-row" }, row.map((button) => inlineButton(button, message, actions)))));
}

export function inlineRows(message) {
  const rows = (message.reply_markup?.inline_keyboard ?? []).filter((row) => row.length > 0);
  const payable = message.invoice && !rows.flat().some((button) => button.pay);
  return payable ? [[{ text: "", pay: true }], ...rows] : rows;
}

function inlineButton(button, message, actions) {
  const style = STYLES.has(button.style) ? ` ${button.style}` : "";
  const url = button.url ?? button.web_app?.url ?? button.login_url?.url;
  const href = url && !button.disabled ? safeUrl(url) : null;
  if (href) {
    const link = { class: `inline-button${style}`, href, target: "_blank", rel: "noopener noreferrer", onclick: (event) => actions.link(event, href) };
    return h("a", link, label(button), icon("external", "corner"));
  }
  const node = h("button", { type: "button", class: `inline-button${style}`, disabled: Boolean(button.disabled || url) }, label(button, message));
  if (button.copy_text) node.append(icon("copy", "corner"));
  node.append(h("span", { class: "spinner", "aria-hidden": "true" }));
  node.addEventListener("click", () => tap(button, node, message, actions));
  return node;
}

function label(button, message) {
  const text = button.text || `${t("pay")} ${formatMoney(message.invoice.total_amount, message.invoice.currency)}`;
  return h("span", { class: "label" }, text);
}

async function tap(button, node, message, actions) {
  if (button.callback_data !== undefined) return actions.press(node, message, button.callback_data);
  if (button.pay) return actions.pay(node, message);
  if (button.copy_text) {
    await copyText(button.copy_text.text);
    return toast(t("copied"));
  }
  if (button.switch_inline_query_current_chat !== undefined) return actions.fill(button.switch_inline_query_current_chat);
  return toast(t("notHere"), "bad");
}

/** The reply keyboard as rows of buttons; a click sends the button's text. */
export function renderReply(markup, send) {
  const rows = (markup?.keyboard ?? []).filter((row) => row.length > 0);
  return rows.map((row) => h("div", { class: "reply-row" }, row.map((button) => {
    const text = typeof button === "string" ? button : button.text;
    const special = typeof button === "object" && Object.keys(button).some((key) => key.startsWith("request_") || key === "web_app");
    const style = STYLES.has(button.style) ? ` ${button.style}` : "";
    const run = () => (special ? toast(t("notHere"), "bad") : send(text));
    return h("button", { type: "button", class: `reply-button${style}`, disabled: Boolean(button.disabled), onclick: run }, text);
  })));
}
