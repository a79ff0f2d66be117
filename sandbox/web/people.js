// The list of people as whom one can write.

import { $, fillAvatar, h, openDialog } from "./dom.js";
import { t } from "./i18n.js";

const LANGUAGES = ["ru", "en", "uk", "kk", "de", "es"];

let drawn = "";

/** Draws the list only if it has changed: a list redrawn during a click would lose the click. */
export function renderPeople(users, active, open) {
  const wanted = JSON.stringify([users, active, document.documentElement.lang]);
  if (wanted === drawn) return;
  drawn = wanted;
  const focused = document.activeElement?.closest?.(".person")?.dataset.uid;
  $("people-list").replaceChildren(...users.map((user) => {
    const unread = user.id === active ? 0 : user.unread ?? 0;
    const name = fullName(user);
    const about = [user.username && `@${user.username}`, user.language_code, String(user.id)].filter(Boolean).join(" · ");
    const current = user.id === active ? "true" : null;
    return h("li", {}, h("button", { type: "button", class: "person", "data-uid": user.id, "aria-current": current, onclick: () => open(user.id) },
      fillAvatar(h("span", { class: "avatar", "aria-hidden": "true" }), user.first_name, user.id),
      h("span", { class: "person-text" },
        h("span", { class: "person-name" }, h("span", { class: "ellipsis" }, name), user.role === "admin" && h("span", { class: "badge" }, t("admin"))),
        h("span", { class: user.blocked ? "person-about bad" : "person-about" }, user.blocked ? t("blockedTag") : about)),
      unread > 0 && h("span", { class: "unread", "aria-label": t("unread", unread) }, unread > 99 ? "99+" : String(unread))));
  }));
  if (focused) $("people-list").querySelector(`[data-uid="${CSS.escape(focused)}"]`)?.focus();
}

const fullName = (user) => [user.first_name, user.last_name].filter(Boolean).join(" ");

export function languageSelect(selected, props = {}) {
  const codes = LANGUAGES.includes(selected) || !selected ? LANGUAGES : [selected, ...LANGUAGES];
  const names = new Intl.DisplayNames(document.documentElement.lang, { type: "language" });
  return h("select", props, codes.map((code) => h("option", { value: code, selected: code === selected }, `${names.of(code)} (${code})`)));
}

/** Asks for a name and a language; returns `{first_name, language_code}` or null. */
export async function askNewUser() {
  const name = h("input", { type: "text", id: "new-name", maxlength: "64", required: true, pattern: ".*\\S.*", autocomplete: "off" });
  const language = languageSelect("ru", { id: "new-language" });
  const dialog = h("dialog", { class: "modal", "aria-label": t("newUser") },
    h("form", { method: "dialog", class: "sheet" },
      h("h2", {}, t("newUser")),
      h("label", { class: "field-label" }, t("name"), name),
      h("label", { class: "field-label" }, t("language"), language),
      h("div", { class: "sheet-buttons" }, h("span", { class: "grow" }),
        h("button", { type: "button", class: "text-button", onclick: () => dialog.close("") }, t("cancel")),
        h("button", { type: "submit", class: "solid-button", value: "create", id: "create-user" }, t("create")))));
  const closed = openDialog(dialog);
  name.focus();
  const made = (await closed) === "create" && name.value.trim();
  return made ? { first_name: name.value.trim(), language_code: language.value } : null;
}
