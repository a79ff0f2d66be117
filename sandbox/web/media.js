// Photos, videos, sounds and files of a message. Every image has its place before it has loaded: nothing jumps.

import { fileUrl } from "./api.js";
import { h, icon, openDialog } from "./dom.js";
import { formatDuration, formatSize, t } from "./i18n.js";

const BOX = { width: 420, height: 440, least: 200 };
const ALBUM_ROWS = { 2: [2], 3: [1, 2], 4: [2, 2], 5: [2, 3], 6: [3, 3], 7: [2, 2, 3], 8: [3, 2, 3], 9: [3, 3, 3], 10: [2, 3, 2, 3] };

/** The media part of a message or of an album's messages, or null when it is only text. */
export function renderMedia(messages, actions) {
  if (messages.length > 1) {
    const visual = messages.every((one) => one.photo || one.video || one.animation);
    return visual ? album(messages, actions) : h("div", { class: "files" }, messages.map((one) => single(one, actions)));
  }
  return single(messages[0], actions);
}

const KINDS = ["photo", "video", "animation", "document", "audio", "voice", "sticker", "dice"];

/** A value that changes when the media of these messages has to be drawn again. */
export const mediaSignature = (messages) => JSON.stringify(messages.map((one) => [one.message_id, ...KINDS.map((kind) => one[kind])]));

export const hasMedia = (message) => KINDS.some((kind) => message[kind]);

export const isVisual = (message) => Boolean(message.photo?.length || message.video || message.animation);

export const largest = (sizes) => sizes.reduce((best, one) => (one.width * one.height > best.width * best.height ? one : best));

function single(message, actions) {
  if (message.photo?.length) return photo(message, actions);
  if (message.animation) return animation(message.animation);
  if (message.video) return video(message.video);
  if (message.document) return file(message.document, message.document.thumbnail);
  if (message.audio) return h("div", { class: "sound" }, file(message.audio), h("audio", { controls: true, preload: "none", src: fileUrl(message.audio.file_id) }));
  if (message.voice) return h("div", { class: "sound" }, h("audio", { controls: true, preload: "none", src: fileUrl(message.voice.file_id), "aria-label": t("voice") }));
  if (message.sticker) return h("div", { class: "big-emoji" }, message.sticker.emoji ?? "🏷️");
  if (message.dice) return h("div", { class: "big-emoji" }, `${message.dice.emoji} ${message.dice.value}`);
  return null;
}

/** Width in pixels and ratio of the place for an image of this size: inside the box, never too narrow. */
function place(width, height) {
  const known = width > 0 && height > 0;
  const ratio = known ? Math.min(2.6, Math.max(0.5, width / height)) : 1;
  const natural = known ? Math.max(width, BOX.least) : BOX.width;
  return { width: Math.round(Math.max(BOX.least, Math.min(BOX.width, BOX.height * ratio, natural))), ratio };
}

const frame = (width, height) => {
  const spot = place(width, height);
  return { style: { width: `${spot.width}px`, aspectRatio: String(spot.ratio) } };
};

function image(fileId, alt) {
  const node = h("img", { src: fileUrl(fileId), alt, loading: "lazy", decoding: "async", draggable: "false" });
  const done = () => node.classList.add("loaded");
  node.addEventListener("load", done);
  node.addEventListener("error", () => node.replaceWith(h("span", { class: "broken" }, t("noMedia"))));
  return node;
}

function photo(message, actions, cell = {}) {
  const best = largest(message.photo);
  const shown = message.photo.find((one) => one.width >= 800 || one.height >= 800) ?? best;
  const label = message.caption ? `${t("photo")}: ${message.caption}` : t("photo");
  const open = () => actions.openPhoto(best.file_id);
  const shape = cell.style ? cell : frame(best.width, best.height);
  return h("button", { type: "button", class: "frame photo", "aria-label": t("openPhoto"), onclick: open, ...shape }, image(shown.file_id, label));
}

function video(clip, cell = {}) {
  const shape = cell.style ? cell : frame(clip.width, clip.height);
  const holder = h("div", { class: "frame clip", ...shape });
  const poster = clip.cover?.length ? largest(clip.cover) : clip.thumbnail;
  if (!poster) {
    holder.append(player(clip, {}));
    return holder;
  }
  const start = () => {
    const node = player(clip, { poster: fileUrl(poster.file_id), autoplay: true });
    holder.replaceChildren(node);
    node.focus();
  };
  holder.append(
    image(poster.file_id, t("video")),
    h("button", { type: "button", class: "play", "aria-label": t("play"), onclick: start }, icon("play")),
    h("span", { class: "duration" }, formatDuration(clip.duration)),
  );
  return holder;
}

const player = (clip, more) =>
  h("video", { controls: true, playsinline: true, preload: "metadata", src: fileUrl(clip.file_id), "aria-label": t("video"), ...more });

function animation(clip, cell = {}) {
  const shape = cell.style ? cell : frame(clip.width, clip.height);
  if (clip.mime_type === "image/gif") return h("div", { class: "frame clip", ...shape }, image(clip.file_id, t("animation")));
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const node = h("video", { playsinline: true, loop: true, preload: "metadata", src: fileUrl(clip.file_id), controls: still, autoplay: !still });
  node.muted = true;
  return h("div", { class: "frame clip", ...shape }, node);
}

function album(messages, actions) {
  const rows = ALBUM_ROWS[messages.length] ?? [];
  const spans = rows.flatMap((count) => Array(count).fill(6 / count));
  const cells = messages.map((one, index) => {
    const span = spans[index] ?? 3;
    const cell = { style: { gridColumn: `span ${span}`, aspectRatio: span === 6 ? "16 / 10" : "1" } };
    if (one.photo?.length) return photo(one, actions, cell);
    return one.video ? video(one.video, cell) : animation(one.animation, cell);
  });
  return h("div", { class: "album" }, cells);
}

function file(document, thumbnail) {
  const name = document.file_name || document.title || t("file");
  const extension = name.includes(".") ? name.split(".").at(-1).slice(0, 4) : "";
  const badge = thumbnail
    ? h("span", { class: "file-badge" }, image(thumbnail.file_id, ""))
    : h("span", { class: "file-badge" }, extension || icon("file"));
  const link = { class: "file", href: fileUrl(document.file_id), download: name, "aria-label": `${t("download")}: ${name}` };
  return h("a", link, badge,
    h("span", { class: "file-text" }, h("span", { class: "file-name" }, name), h("span", { class: "file-size" }, formatSize(document.file_size))),
    h("span", { class: "file-get" }, icon("download")));
}

/** Shows photos over the whole page: arrows to move, Esc or a click outside to close. `photos` are `{file_id, caption}`. */
export function openLightbox(photos, index) {
  let at = Math.max(0, index);
  const picture = h("img", { alt: "" });
  const caption = h("p", { class: "lightbox-caption" });
  const save = h("a", { class: "icon-button", "aria-label": t("download"), title: t("download") }, icon("download"));
  const step = (by) => show((at + by + photos.length) % photos.length);
  const arrow = (name, label, by) =>
    photos.length > 1 && h("button", { type: "button", class: `icon-button lightbox-${name}`, "aria-label": label, onclick: () => step(by) }, icon(name));
  const show = (next) => {
    at = next;
    picture.src = fileUrl(photos[at].file_id);
    picture.alt = photos[at].caption || t("photo");
    caption.textContent = photos[at].caption ?? "";
    save.href = picture.src;
    save.download = `${photos[at].file_id}.jpg`;
  };
  const stage = h("div", { class: "lightbox-stage" }, picture);
  const dialog = h("dialog", { class: "lightbox", "aria-label": t("photo") }, stage, caption,
    h("div", { class: "lightbox-bar" }, save,
      h("button", { type: "button", class: "icon-button", "aria-label": t("close"), onclick: () => dialog.close("") }, icon("close"))),
    arrow("back", t("previous"), -1), arrow("next", t("next"), 1));
  stage.addEventListener("click", (event) => event.target === stage && dialog.close(""));
  dialog.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft") step(-1);
    if (key === "ArrowRight") step(1);
  });
  show(at);
  return openDialog(dialog);
}
