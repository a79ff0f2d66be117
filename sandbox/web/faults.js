// Faults a person can plan by hand: each is what the real system would answer, in its own shape.

const telegram = (code, description, parameters) => ({ ok: false, error_code: code, description, ...(parameters && { parameters }) });
const google = (code, status, message) => ({ error: { code, message, status } });
const kling = (code, message) => ({ code, message, request_id: "sandbox-fault" });
const yookassa = (code, description) => ({ type: "error", id: "sandbox-fault", code, description });

export const FAULTS = [
  { name: { ru: "Telegram 429: подождать 3 с", en: "Telegram 429: wait 3 s" },
    fault: { face: "telegram", match: "sendMessage", status: 429, headers: { "Retry-After": "3" },
      body: telegram(429, "Too Many Requests: retry after 3", { retry_after: 3 }) } },
  { name: { ru: "Telegram 502 вместо JSON", en: "Telegram 502, HTML body" },
    fault: { face: "telegram", match: "send", status: 502, body: "<html><head><title>502 Bad Gateway</title></head></html>" } },
  { name: { ru: "Telegram: отправлено, но ответ потерян", en: "Telegram: sent, answer lost" },
    fault: { face: "telegram", match: "sendMessage", drop: "after" } },
  { name: { ru: "Gemini 503: перегружен", en: "Gemini 503: overloaded" },
    fault: { face: "gemini", match: "generateContent", status: 503, body: google(503, "UNAVAILABLE", "The model is overloaded. Please try again later.") } },
  { name: { ru: "Gemini 429: квота", en: "Gemini 429: quota" },
    fault: { face: "gemini", match: "generateContent", status: 429, body: google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).") } },
  { name: { ru: "Gemini: ответ через 20 с", en: "Gemini: answers after 20 s" },
    fault: { face: "gemini", match: "generateContent", delay: 20 } },
  { name: { ru: "Kling 500 при заказе клипа", en: "Kling 500 on submit" },
    fault: { face: "kling", match: "-to-video", status: 500, body: kling(5000, "internal error") } },
  { name: { ru: "Kling 429: заняты все места", en: "Kling 429: no free slot" },
    fault: { face: "kling", match: "-to-video", status: 429, body: kling(1303, "parallel task over resource pack limit") } },
  { name: { ru: "Kling: принято, но ответ потерян", en: "Kling: accepted, answer lost" },
    fault: { face: "kling", match: "-to-video", drop: "after" } },
  { name: { ru: "ЮKassa 500", en: "YooKassa 500" },
    fault: { face: "yookassa", match: "payments", status: 500, body: yookassa("internal_server_error", "Internal server error") } },
  { name: { ru: "ЮKassa: создано, но ответ потерян", en: "YooKassa: created, answer lost" },
    fault: { face: "yookassa", match: "payments", drop: "after" } },
];
