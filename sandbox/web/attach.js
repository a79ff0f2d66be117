// Files for the bot: chosen, dropped or pasted; shown with a caption before they are sent.

import { $, h, icon, openDialog, toast } from "./dom.js";
import { formatSize, t } from "./i18n.js";

const MOST = 10;
const PHOTO_TYPES = new Set(["image/jpeg", "image/png", "image/webp"]);
const PHOTO_BYTES = 10 * 1024 * 1024;

/** Lets a person drop files on the chat and paste them anywhere on the page; calls `attach(files)`. */
export function acceptFiles(attach) {
  const zone = $("drop-zone");
  const hint = $("drop-hint");
  let depth = 0;
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const over = (by) => (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = Math.max(0, depth + by);
    hint.hidden = depth === 0;
  };
  zone.addEventListener("dragenter", over(1));
  zone.addEventListener("dragleave", over(-1));
  // Outside the chat too: a file dropped there would otherwise replace the page.
  document.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    hint.hidden = true;
    if (zone.contains(event.target)) attach([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0 || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    attach(files);
  });
}

/** Asks for the caption and how to send; returns the forms to post one after another, none when dismissed. */
export async function askAttachment(files) {
  let chosen = [];
  const urls = new Map();
  const grid = h("div", { class: "attach-grid" });
  const title = h("h2", {});
  const asFile = h("input", { type: "checkbox", id: "as-file" });
  const caption = h("textarea", { rows: "2", maxlength: "1024", placeholder: t("caption"), "aria-label": t("caption"), id: "caption" });
  const more = h("input", { type: "file", multiple: true, hidden: true });
  const plus = h("button", { type: "button", class: "icon-button", "aria-label": t("addMore"), title: t("addMore"), onclick: () => more.click() }, icon("plus"));
  const form = h("form", { method: "dialog", class: "sheet" }, h("div", { class: "sheet-head" }, title, plus), grid,
    h("label", { class: "check" }, asFile, t("asFile")), caption, more,
    h("div", { class: "sheet-buttons" },
      h("span", { class: "grow" }),
      h("button", { type: "button", class: "text-button", id: "attach-cancel", onclick: () => dialog.close("") }, t("cancel")),
      h("button", { type: "submit", class: "solid-button", value: "send", id: "attach-send" }, t("send"))));
  const dialog = h("dialog", { class: "modal", "aria-label": t("attach") }, form);

  const add = (fresh) => {
    const usable = fresh.filter((one) => one.size > 0 || void toast(t("emptyFile", one.name), "bad"));
    if (chosen.length + usable.length > MOST) toast(t("tooMany"), "bad");
    chosen = [...chosen, ...usable].slice(0, MOST);
    draw();
  };
  const drop = (one) => {
    chosen = chosen.filter((other) => other !== one);
    if (chosen.length === 0) dialog.close("");
    else draw();
  };
  const draw = () => {
    title.textContent = t("attachTitle", chosen.length);
    asFile.parentElement.hidden = chosen.every((one) => kindOf(one, false) === "document");
    grid.classList.toggle("single", chosen.length === 1);
    grid.replaceChildren(...chosen.map((one) => preview(one, asFile.checked, urls, () => drop(one))));
  };
  asFile.addEventListener("change", draw);
  more.addEventListener("change", () => add([...more.files]));
  caption.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    dialog.close("send");
  });

  add(files);
  if (chosen.length === 0) return [];
  const closed = openDialog(dialog);
  caption.focus();
  const verdict = await closed;
  for (const url of urls.values()) URL.revokeObjectURL(url);
  return verdict === "send" ? toForms(chosen, asFile.checked, caption.value.trim()) : [];
}

function kindOf(file, asFile) {
  if (asFile) return "document";
  if (PHOTO_TYPES.has(file.type) && file.size <= PHOTO_BYTES) return "photo";
  return file.type === "video/mp4" ? "video" : "document";
}

function preview(file, asFile, urls, remove) {
  const kind = kindOf(file, asFile);
  const close = h("button", { type: "button", class: "remove", "aria-label": `${t("remove")}: ${file.name}`, onclick: remove }, icon("close"));
  if (!urls.has(file)) urls.set(file, URL.createObjectURL(file));
  if (kind === "photo") return h("div", { class: "attach-item" }, h("img", { src: urls.get(file), alt: file.name }), close);
  if (kind === "video") return h("div", { class: "attach-item" }, h("video", { src: urls.get(file), preload: "metadata" }), close);
  return h("div", { class: "attach-item attach-file" }, icon("file"),
    h("span", { class: "file-text" }, h("span", { class: "file-name" }, file.name), h("span", { class: "file-size" }, formatSize(file.size))), close);
}

/** Photos go together as one album, everything else one by one; the first carries the caption. */
function toForms(files, asFile, caption) {
  const photos = files.filter((one) => kindOf(one, asFile) === "photo");
  const batches = photos.length > 0 ? [["photo", photos]] : [];
  for (const one of files) if (!photos.includes(one)) batches.push([kindOf(one, asFile), [one]]);
  return batches.map(([kind, batch], index) => {
    const form = new FormData();
    form.append("kind", kind);
    if (index === 0 && caption) form.append("caption", caption);
    for (const one of batch) form.append("file", one, one.name);
    return form;
  });
}
