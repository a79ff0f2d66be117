// Faults a person can plan by hand, grouped by the system in which they happen. A `tag` names a failure that the
// simulator of that system knows itself; the others are written out here, in the form the real system would use.

const telegram = (code, description, parameters) => ({ ok: false, error_code: code, description, ...(parameters && { parameters }) });
const yookassa = (code, description) => ({ type: "error", id: "sandbox-fault", code, description });

export const FAULTS = [
  { group: "Telegram", faults: [
    { name: { ru: "429: подождать 3 с", en: "429: wait 3 s" },
      fault: { face: "telegram", match: "sendMessage", status: 429, headers: { "Retry-After": "3" },
        body: telegram(429, "Too Many Requests: retry after 3", { retry_after: 3 }) } },
    { name: { ru: "502 вместо JSON", en: "502, HTML body" },
      fault: { face: "telegram", match: "send", status: 502, body: "<html><head><title>502 Bad Gateway</title></head></html>" } },
    { name: { ru: "отправлено, но ответ потерян", en: "sent, answer lost" },
      fault: { face: "telegram", match: "sendMessage", drop: "after" } },
  ] },
  { group: "Gemini", faults: [
    { name: { ru: "503: модель перегружена", en: "503: model overloaded" }, fault: { face: "gemini", tag: "503_overloaded" } },
    { name: { ru: "429: квота на минуту", en: "429: quota per minute" }, fault: { face: "gemini", tag: "429_minute=5" } },
    { name: { ru: "отказ: запрос запрещён", en: "refusal: prompt blocked" }, fault: { face: "gemini", tag: "prompt_block" } },
    { name: { ru: "отказ: картинка небезопасна", en: "refusal: unsafe image" }, fault: { face: "gemini", tag: "finish=IMAGE_SAFETY" } },
    { name: { ru: "обрыв посреди ответа", en: "connection lost mid-answer" }, fault: { face: "gemini", tag: "reset_mid_body" } },
    { name: { ru: "битая картинка", en: "broken image" }, fault: { face: "gemini", tag: "broken_image" } },
    { name: { ru: "ответ через 20 с", en: "answers after 20 s" }, fault: { face: "gemini", match: "generateContent", delay: 20 } },
  ] },
  { group: "Kling", faults: [
    { name: { ru: "429: заняты все места", en: "429: no free slot" }, fault: { face: "kling", tag: "1303" } },
    { name: { ru: "отказ: не прошло проверку", en: "refusal: content safety" }, fault: { face: "kling", tag: "1301" } },
    { name: { ru: "500 при заказе клипа", en: "500 on submit" }, fault: { face: "kling", tag: "5000" } },
    { name: { ru: "принято, но ответ потерян", en: "accepted, answer lost" }, fault: { face: "kling", tag: "drop_after" } },
    { name: { ru: "клип не получился", en: "the video fails" }, fault: { face: "kling", tag: "fail" } },
    { name: { ru: "клип завис навсегда", en: "the video never finishes" }, fault: { face: "kling", tag: "stuck" } },
    { name: { ru: "ответ через 20 с", en: "answers after 20 s" }, fault: { face: "kling", delay: 20 } },
  ] },
  { group: "ЮKassa", faults: [
    { name: { ru: "500: исход неизвестен", en: "500: outcome unknown" },
      fault: { face: "yookassa", match: "payments", status: 500, body: yookassa("internal_server_error", "Internal server error") } },
    { name: { ru: "создано, но ответ потерян", en: "created, answer lost" },
      fault: { face: "yookassa", match: "payments", drop: "after" } },
    { name: { ru: "уведомление придёт дважды", en: "notification sent twice" },
      fault: { face: "yookassa", match: "notification:payment", tag: "notification", options: { notifications_duplicates: 1 } } },
    { name: { ru: "уведомление опоздает на 10 мин", en: "notification 10 min late" },
      fault: { face: "yookassa", match: "notification:payment", tag: "notification", options: { notifications_delay: 600 } } },
    { name: { ru: "подделка: чужая сумма в уведомлении", en: "forged: another sum in the notification" },
      fault: { face: "yookassa", match: "notification:payment", tag: "notification",
        options: { notifications_forged: { amount: { value: "99999.00" } } } } },
    { name: { ru: "подделка: отказ выдан за оплату", en: "forged: a refusal shown as paid" },
      fault: { face: "yookassa", match: "notification:payment.canceled", tag: "notification",
        options: { notifications_forged: { status: "succeeded", paid: true } } } },
  ] },
];
