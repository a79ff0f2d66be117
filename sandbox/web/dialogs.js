// Small questions and notices over the page.

import { h, openDialog } from "./dom.js";
import { formatMoney, t } from "./i18n.js";

/** A dialog with a text and buttons below it; returns the value of the pressed one, `""` when dismissed. */
function ask(label, content, ...buttons) {
  return openDialog(h("dialog", { class: "modal", "aria-label": label },
    h("form", { method: "dialog", class: "sheet" }, content, h("div", { class: "sheet-buttons" }, h("span", { class: "grow" }), buttons))));
}

const button = (text, value, kind, id = null) => h("button", { type: "submit", class: kind, value, id }, text);
const cancel = () => button(t("cancel"), "", "text-button");

export function showAlert(text) {
  return ask(text, h("p", {}, text), button(t("ok"), "", "solid-button", "alert-ok"));
}

/** Whether the person agrees to pay; `bill` is null when only a link is known. */
export async function confirmPay(bill) {
  const sum = bill ? formatMoney(bill.total_amount, bill.currency) : "";
  const content = [h("h2", {}, t("payTitle")), bill && h("p", {}, `${bill.title}: ${sum}`), h("p", { class: "hint" }, t("payHint"))].filter(Boolean);
  return (await ask(t("payTitle"), content, cancel(), button(`${t("pay")} ${sum}`.trim(), "pay", "solid-button", "confirm-pay"))) === "pay";
}

export async function confirmReset() {
  const content = [h("h2", {}, t("resetAsk")), h("p", {}, t("resetHint"))];
  return (await ask(t("reset"), content, cancel(), button(t("reset"), "reset", "solid-button danger", "confirm-reset"))) === "reset";
}

/** Only a person's own click may open a page: one that the bot asks for is offered as a link. */
export function offerLink(url) {
  const open = h("a", { class: "solid-button", href: url, target: "_blank", rel: "noopener noreferrer" }, t("openLink"));
  open.addEventListener("click", () => open.closest("dialog").close(""));
  return ask(t("openLink"), h("p", {}, url), cancel(), open);
}
