// Where the person writes: the text field, the menu of commands, the reply keyboard, Start and Unblock.

import { $, h } from "./dom.js";
import { t } from "./i18n.js";
import { renderReply } from "./keyboards.js";

const MAX_HEIGHT = 180;
const MESSAGE_LIMIT = 4096;

export class Composer {
  /** `actions`: `send(text)` returns whether it was sent, `attach(files)`, `unblock()`. */
  constructor(actions) {
    this.actions = actions;
    this.field = $("text");
    this.list = $("commands");
    this.commands = [];
    this.matches = [];
    this.chosen = 0;
    this.markup = null;
    this.drafts = new Map();
    this.wire();
  }

  wire() {
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.field.addEventListener("input", () => this.changed());
    this.field.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("keydown", (event) => this.typed(event));
    this.field.addEventListener("blur", () => setTimeout(() => this.list.contains(document.activeElement) || this.closeMenu(), 150));
    $("menu").addEventListener("mousedown", (event) => event.preventDefault());  // a blur would close what it opens
    $("menu").addEventListener("click", () => {
      if (!this.list.hidden) return this.closeMenu();
      this.openMenu(this.commands);
      this.field.focus();
    });
    $("attach").addEventListener("click", () => $("file-input").click());
    $("file-input").addEventListener("change", ({ target }) => {
      const files = [...target.files];
      target.value = "";
      if (files.length > 0) this.actions.attach(files);
    });
    $("start").addEventListener("click", () => this.actions.send("/start"));
    $("unblock").addEventListener("click", () => this.actions.unblock());
    $("keyboard-toggle").addEventListener("click", () => this.showKeyboard($("reply-keyboard").hidden));
  }

  /** Another chat: keep the unfinished text of the old one, bring back that of the new one. */
  switchTo(uid) {
    if (this.uid !== undefined) this.drafts.set(this.uid, this.field.value);
    this.uid = uid;
    this.fresh = true;
    this.field.value = this.drafts.get(uid) ?? "";
    this.setCommands([]);
    this.setKeyboard(null);
    this.changed();
  }

  setState({ blocked, empty, ready, settled }) {
    $("composer").hidden = blocked || empty || !ready;
    $("start").hidden = blocked || !empty || !ready;
    $("unblock").hidden = !blocked || !ready;
    $("reply-keyboard").classList.toggle("off", blocked || empty);
    // With a mouse the person can type at once; on a phone the keyboard would cover the chat.
    if (this.fresh && settled && !$("composer").hidden && matchMedia("(pointer: fine)").matches) this.field.focus({ preventScroll: true });
    if (settled && ready) this.fresh = false;
  }

  setCommands(commands) {
    this.commands = commands ?? [];
    this.closeMenu();
    $("menu").hidden = this.commands.length === 0;
  }

  /** The keyboard as loaded with the chat: if it is the same as before, it stays shown or hidden. */
  offerKeyboard(markup) {
    if (JSON.stringify(markup ?? null) !== JSON.stringify(this.markup)) this.setKeyboard(markup);
  }

  setKeyboard(markup) {
    const rows = renderReply(markup, (text) => this.pressReply(text));
    this.markup = rows.length > 0 ? markup : null;
    $("reply-keyboard").replaceChildren(...rows);
    $("reply-keyboard").classList.toggle("compact", Boolean(markup?.resize_keyboard));
    $("keyboard-toggle").hidden = rows.length === 0;
    this.showKeyboard(rows.length > 0);
    this.placeholder();
  }

  placeholder() {
    this.field.placeholder = this.markup?.input_field_placeholder || t("message");
  }

  showKeyboard(on) {
    $("reply-keyboard").hidden = !on;
    $("keyboard-toggle").setAttribute("aria-expanded", String(on));
  }

  async pressReply(text) {
    const once = this.markup?.one_time_keyboard;
    if ((await this.actions.send(text)) && once) this.showKeyboard(false);
  }

  /** Puts text into the field for the person to finish. */
  fill(text) {
    this.field.value = text;
    this.changed();
    this.field.focus();
  }

  async submit() {
    let text = this.field.value.trim();
    if (!text) return;
    const { uid } = this;
    this.field.value = "";
    this.changed();
    while (text && this.uid === uid) {
      const part = firstMessage(text);
      if (!(await this.actions.send(part))) break;
      text = text.slice(part.length).trimStart();
    }
    // Text that was not sent is not lost: it comes back, before what was typed since.
    if (!text) return;
    if (this.uid !== uid) this.drafts.set(uid, text);
    else this.fill([text, this.field.value].filter(Boolean).join("\n"));
  }

  changed() {
    const { field } = this;
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, MAX_HEIGHT)}px`;
    field.classList.toggle("tall", field.scrollHeight > MAX_HEIGHT);
    $("send").disabled = field.value.trim() === "";
    const typed = /^\/(\w*)$/.exec(field.value);
    const found = typed ? this.commands.filter((one) => one.command.startsWith(typed[1].toLowerCase())) : [];
    if (found.length > 0) this.openMenu(found);
    else this.closeMenu();
  }

  /** After a click on a button a person can go on typing: as in Telegram's apps, unused keys go to the text field. */
  typed({ key, code, target, ctrlKey, metaKey, altKey }) {
    const shortcut = ctrlKey || metaKey || altKey;
    const writes = shortcut ? code === "KeyV" && !altKey : key.length === 1 && key !== " ";
    if (writes && !target.closest("input, textarea, select, dialog")) this.field.focus({ preventScroll: true });
  }

  key(event) {
    if (event.isComposing) return;
    const open = !this.list.hidden;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      return this.choose((this.chosen + step + this.matches.length) % this.matches.length);
    }
    if (open && event.key === "Tab") {
      event.preventDefault();
      return this.fill(`/${this.matches[this.chosen].command} `);
    }
    if (open && event.key === "Escape") {
      event.preventDefault();
      return this.closeMenu();
    }
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (open) this.pick(this.matches[this.chosen]);
      else this.submit();
    }
  }

  openMenu(commands) {
    this.matches = commands;
    this.list.replaceChildren(...commands.map((one, index) =>
      h("div", { class: "command", role: "option", id: `command-${index}`, onmousedown: (event) => event.preventDefault(), onclick: () => this.pick(one) },
        h("span", { class: "command-name" }, `/${one.command}`), h("span", { class: "command-about" }, one.description))));
    this.list.hidden = false;
    this.expanded(true);
    this.choose(0);
  }

  closeMenu() {
    this.list.hidden = true;
    this.field.removeAttribute("aria-activedescendant");
    this.expanded(false);
  }

  expanded(on) {
    for (const node of [$("menu"), this.field]) node.setAttribute("aria-expanded", String(on));
  }

  choose(index) {
    this.chosen = index;
    [...this.list.children].forEach((node, at) => node.setAttribute("aria-selected", String(at === index)));
    this.list.children[index].scrollIntoView({ block: "nearest" });
    this.field.setAttribute("aria-activedescendant", `command-${index}`);
  }

  pick(command) {
    this.closeMenu();
    this.field.value = "";
    this.changed();
    this.actions.send(`/${command.command}`);
  }
}

/** As much of a text as one message can hold, up to a space if there is one; as in Telegram's apps, the rest follows. */
function firstMessage(text) {
  if (text.length <= MESSAGE_LIMIT) return text;
  const blank = Math.max(text.lastIndexOf(" ", MESSAGE_LIMIT), text.lastIndexOf("\n", MESSAGE_LIMIT));
  if (blank > 0) return text.slice(0, blank);
  const torn = /[\uD800-\uDBFF]/.test(text[MESSAGE_LIMIT - 1]);
  return text.slice(0, torn ? MESSAGE_LIMIT - 1 : MESSAGE_LIMIT);
}
