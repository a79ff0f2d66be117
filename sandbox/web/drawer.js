// The settings panel of the sandbox: the person, the clock, planned faults, starting over.

import { api } from "./api.js";
import { confirmReset } from "./dialogs.js";
import { $, h, icon, toast } from "./dom.js";
import { FAULTS } from "./faults.js";
import { currentLanguage, t } from "./i18n.js";
import { languageSelect } from "./people.js";

const SPEEDS = [1, 4, 10, 60, 300];
const JUMPS = [[60, "1", "minutes"], [15 * 60, "15", "minutes"], [3600, "1", "hours"], [86_400, "1", "days"]];
const REFRESH_MS = 3000;

export class Drawer {
  /** `host`: `user()` returns the open person or null, `changed()` is called after the person was changed. */
  constructor(host) {
    this.host = host;
    this.node = $("drawer");
    $("drawer-open").addEventListener("click", () => this.show(this.node.hidden));
    this.node.addEventListener("keydown", ({ key }) => key === "Escape" && this.show(false));
  }

  show(on) {
    this.node.hidden = !on;
    $("app").classList.toggle("with-drawer", on);
    $("drawer-open").setAttribute("aria-expanded", String(on));
    clearInterval(this.timer);
    if (!on) return $("drawer-open").focus();
    this.draw();
    this.refresh();
    this.timer = setInterval(() => this.refresh(), REFRESH_MS);
    this.node.focus();
  }

  /** Draws the panel again if it is open (another person, another language of the page). */
  draw() {
    if (this.node.hidden) return;
    this.node.replaceChildren(
      h("header", { class: "drawer-head" }, h("h2", {}, t("sandbox")),
        h("button", { type: "button", class: "icon-button", "aria-label": t("close"), onclick: () => this.show(false) }, icon("close"))),
      ...[this.person(), this.clock(), this.faults(), this.startOver()].filter(Boolean));
    this.refresh();
  }

  person() {
    const user = this.host.user();
    if (!user) return null;
    const block = h("input", { type: "checkbox", role: "switch", class: "switch", id: "block-switch", checked: Boolean(user.blocked) });
    block.addEventListener("change", () => this.act(() => api.setBlocked(user.id, block.checked), this.host.changed));
    const language = languageSelect(user.language_code, { id: "user-language" });
    language.addEventListener("change", () => this.act(() => api.changeUser(user.id, { language_code: language.value }), this.host.changed));
    return section(`${t("thisPerson")}: ${user.first_name}`,
      h("label", { class: "setting" }, h("span", {}, t("block"), h("small", {}, t("blockHint"))), block),
      h("label", { class: "setting" }, h("span", {}, t("language")), language));
  }

  clock() {
    this.speedButtons = SPEEDS.map((speed) =>
      h("button", { type: "button", class: "segment", "aria-pressed": "false", "data-speed": speed, onclick: () => this.setSpeed(speed) }, `×${speed}`));
    const jumps = JUMPS.map(([seconds, count, unit]) =>
      h("button", { type: "button", class: "segment", onclick: () => this.act(() => api.setClock({ advance: seconds }), () => toast(t("clockMoved"))) }, `+${count} ${t(unit)}`));
    return section(t("time"),
      h("div", { class: "setting-label" }, t("speed")), h("div", { class: "segments", role: "group", "aria-label": t("speed") }, this.speedButtons),
      h("div", { class: "setting-label" }, t("advance")), h("div", { class: "segments", role: "group", "aria-label": t("advance") }, jumps));
  }

  faults() {
    const all = FAULTS.flatMap((one) => one.faults);
    const options = (faults) => faults.map((one) => h("option", { value: all.indexOf(one) }, one.name[currentLanguage()]));
    const which = h("select", { class: "fault-kind", "aria-label": t("faults"), id: "fault-kind" },
      FAULTS.map((one) => h("optgroup", { label: one.group }, options(one.faults))));
    const times = h("select", { "aria-label": t("times"), id: "fault-times" }, [1, 2, 3, 5, 10].map((n) => h("option", { value: n }, `×${n}`)));
    const plan = () => this.act(() => api.planFault({ ...all[which.value].fault, times: Number(times.value) }), () => toast(t("faultPlanned")));
    this.planned = h("div", { class: "planned" });
    return section(t("faults"),
      h("p", { class: "hint" }, t("faultsHint")),
      which,
      h("div", { class: "fault-row" }, times, h("button", { type: "button", class: "wide-button", id: "plan-fault", onclick: plan }, t("planFault"))),
      this.planned);
  }

  startOver() {
    return section(t("reset"), h("p", { class: "hint" }, t("resetHint")),
      h("button", { type: "button", class: "wide-button danger", id: "reset", onclick: () => this.reset() }, icon("trash"), t("reset")));
  }

  setSpeed(speed) {
    return this.act(() => api.setClock({ speed }), () => toast(t("clockSet", speed)));
  }

  async reset() {
    if (await confirmReset()) await this.act(api.reset, () => {});
  }

  async act(call, then) {
    try {
      await call();
      await then();
    } catch (error) {
      toast(error.message, "bad");
    }
    await this.refresh();
  }

  /** The current state of the server; no error if it is gone, because the banner of the page shows that already. */
  async refresh() {
    if (this.node.hidden) return;
    try {
      const [clock, faults] = await Promise.all([api.clock(), api.faults()]);
      for (const button of this.speedButtons) button.setAttribute("aria-pressed", String(Number(button.dataset.speed) === clock.speed));
      this.drawPlanned(faults);
    } catch {
      this.shown = undefined;
    }
  }

  drawPlanned(faults) {
    const effect = (one) => one.status ?? (one.drop ? `drop ${one.drop}` : one.delay ? `${one.delay} ${t("seconds")}` : "");
    const lines = faults.map((one) => `${[one.face, one.match, one.tag, effect(one)].filter(Boolean).join(" · ")} ×${one.times}`);
    if (lines.length === 0) return this.planned.replaceChildren(h("p", { class: "hint" }, t("noFaults")));
    const clear = h("button", { type: "button", class: "text-button", id: "clear-faults", onclick: () => this.act(api.clearFaults, () => {}) }, t("clearFaults"));
    return this.planned.replaceChildren(
      h("div", { class: "planned-head" }, t("planned", faults.length), clear),
      h("ul", {}, lines.slice(0, 8).map((line) => h("li", {}, line))));
  }
}

const section = (title, ...children) => h("section", { class: "drawer-section" }, h("h3", {}, title), children);
