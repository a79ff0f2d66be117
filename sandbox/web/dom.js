// Small helpers that build DOM nodes. Content from outside is only ever set as text, never parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** A new element: `on…` are listeners, `style` an object of CSS properties, the rest attributes (false and null are left out). */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** An icon of the sprite in index.html. */
export function icon(name, extra = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${extra}`.trim());
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** The address in the form for a link, or null if its scheme is not one that a chat may open. */
export function safeUrl(address) {
  const text = String(address ?? "").trim();
  try {
    const url = new URL(/^[a-z][a-z0-9+.-]*:/i.test(text) ? text : `https://${text}`);
    return ["http:", "https:", "mailto:", "tel:", "tg:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** The payload of a deep link to this very bot (`https://t.me/<name>?start=<payload>`), else null. */
export function startPayload(address, botName) {
  try {
    const url = new URL(address);
    const ours = url.hostname === "t.me" && url.pathname.slice(1).toLowerCase() === String(botName).toLowerCase();
    return ours ? url.searchParams.get("start") ?? "" : null;
  } catch {
    return null;
  }
}

/** Puts the first letter of a name on an avatar, with a colour that is always the same for the same id. */
export function fillAvatar(node, name, id) {
  node.textContent = ([...String(name || "?").trim()][0] ?? "?").toUpperCase();
  node.dataset.hue = String(Math.abs(Number(id) || 0) % 6);
  return node;
}

/** The link itself if it is a Telegram invoice (`https://t.me/$…`), else null. */
export const invoiceLink = (address) => (/^https:\/\/t\.me\/(\$|%24)[\w-]+$/.test(address) ? address.replace("%24", "$") : null);

/** Shows a text for a few seconds at the bottom of the page. */
export function toast(text, kind = "") {
  const node = h("div", { class: `toast ${kind}`.trim() }, text);
  const box = $("toasts");
  while (box.childElementCount >= 3) box.firstElementChild.remove();
  box.append(node);
  // Shown again, it lies above a dialog that was opened since.
  box.hidePopover?.();
  box.showPopover?.();
  setTimeout(() => node.remove(), 3500 + Math.min(text.length * 30, 4000));
}

/** A modal dialog that is removed once closed; returns its value (`""` when dismissed). */
export function openDialog(node) {
  document.body.append(node);
  node.addEventListener("click", (event) => event.target === node && node.close(""));
  const closed = new Promise((resolve) => {
    node.addEventListener("close", () => {
      node.remove();
      // Chromium returns the focus to a text field without a caret, and typed keys would be lost.
      const back = document.activeElement;
      back.blur();
      back.focus({ preventScroll: true });
      resolve(node.returnValue);
    });
  });
  node.showModal();
  return closed;
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = h("textarea", { class: "off-screen" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}
