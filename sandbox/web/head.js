// What is around the messages: the header of the chat, the banner above it and the card of an empty chat.

import { $, fillAvatar, h } from "./dom.js";
import { t } from "./i18n.js";

const ACTION_MS = 5000;

export class Head {
  constructor() {
    this.action = "";
    this.idle = "";
  }

  /** `user` and `bot` may be null; `empty` asks for the card, `about` is the bot's description on it. */
  draw({ user, bot, online, empty, about }) {
    const name = bot?.first_name || t("noBotName");
    $("bot-name").textContent = name;
    fillAvatar($("bot-avatar"), name, bot?.id ?? 4);
    $("writing-as").textContent = user ? t("writingAs", user.first_name) : "";
    document.title = `${user ? `${user.first_name} → ` : ""}${name} · ${t("sandbox")}`;
    this.idle = !online ? t("connecting") : bot ? `${t("bot")} · @${bot.username}` : "";
    this.drawStatus();
    drawBanner(online, bot);
    $("empty").hidden = !empty;
    const [title, text] = !bot ? [t("waitingTitle"), t("waitingText")] : user ? [t("emptyTitle"), about || t("emptyText")] : [t("choose"), ""];
    $("empty").replaceChildren(h("div", { class: "empty-card" }, h("strong", {}, title), text && h("span", {}, text)));
  }

  /** What the bot is doing (`typing`, `upload_photo`, …); shown for five seconds, as Telegram does it. */
  show(action) {
    clearTimeout(this.timer);
    this.action = action;
    this.drawStatus();
    if (action) this.timer = setTimeout(() => this.show(""), ACTION_MS);
  }

  drawStatus() {
    const status = $("bot-status");
    status.classList.toggle("busy", this.action !== "");
    if (!this.action) return status.replaceChildren(this.idle);
    return status.replaceChildren(t("action")[this.action] ?? t("actionOther"), h("span", { class: "dots", "aria-hidden": "true" }));
  }
}

function drawBanner(online, bot) {
  const banner = $("banner");
  banner.hidden = online && Boolean(bot);
  banner.classList.toggle("bad", !online);
  if (!online) banner.replaceChildren(t("offline"));
  else if (!bot) banner.replaceChildren(t("noBot"), " ", h("code", {}, `TELEGRAM_API_URL=${location.origin}`));
}
