// The page's own texts in Russian and English; the bot's messages are shown as they come.

const RU = {
  sandbox: "Песочница", people: "Люди", messages: "Сообщения", commands: "Команды бота", message: "Сообщение",
  peopleHint: "Пишите боту от лица любого из этих людей. Деньги и токены ненастоящие.",
  switchLanguage: "Switch to English", otherLanguage: "English", newUser: "Новый пользователь", back: "К списку людей",
  openSandbox: "Настройки песочницы", attach: "Прикрепить фото, видео или файл", send: "Отправить",
  toggleKeyboard: "Показать или скрыть кнопки", dropHere: "Отпустите, чтобы прикрепить", start: "Запустить",
  unblock: "Разблокировать бота", admin: "админ", customer: "клиент", blockedTag: "бот заблокирован",
  writingAs: (name) => `Вы — ${name}`, bot: "бот", noBotName: "Бот", connecting: "соединение…",
  noBot: "Бот ещё не подключился. Запустите его с этим адресом Bot API:",
  offline: "Песочница не отвечает. Соединение восстановится само.",
  emptyTitle: "Здесь пока пусто", emptyText: "Нажмите «Запустить», чтобы начать разговор.",
  waitingTitle: "Ждём бота", waitingText: "Чат начнётся, как только бот подключится к песочнице.",
  choose: "Выберите, от чьего лица писать",
  today: "Сегодня", yesterday: "Вчера", edited: "изм.", thinking: "Думает…", delivered: "доставлено", answered: "бот ответил",
  newMessages: (n) => `${n} ${plural(n, "новое сообщение", "новых сообщения", "новых сообщений")}`,
  unread: (n) => `непрочитанных: ${n}`, toBottom: "К последним сообщениям",
  photo: "Фото", video: "Видео", file: "Файл", audio: "Аудио", voice: "Голосовое сообщение", sticker: "Стикер", animation: "Анимация",
  unsupported: "Такие сообщения песочница не показывает", download: "Скачать", openPhoto: "Открыть фото", play: "Воспроизвести",
  close: "Закрыть", previous: "Предыдущее", next: "Следующее", ok: "Понятно", cancel: "Отмена", openLink: "Открыть ссылку",
  noMedia: "Не удалось загрузить", code: "Код", showSpoiler: "Показать скрытый текст", unfold: "Развернуть цитату", copied: "Скопировано",
  pay: "Заплатить", paid: (sum) => `Вы заплатили ${sum}`, refunded: (sum) => `Вам вернули ${sum}`, invoice: "Счёт",
  payTimeout: "Бот не подтвердил оплату за 10 секунд. Деньги не списаны.",
  payTitle: "Оплатить счёт?", payHint: "Деньги ненастоящие: спишутся звёзды песочницы.",
  notHere: "Песочница не умеет этого делать", noAnswer: "Бот не ответил на нажатие",
  blockedSend: "Вы заблокировали бота", serverGone: "Песочница не отвечает", failed: "Не получилось",
  attachTitle: (n) => (n === 1 ? "Отправить файл" : `Отправить файлы: ${n}`), asFile: "Отправить как файл, без сжатия",
  caption: "Подпись", addMore: "Добавить", remove: "Убрать", tooMany: "За раз можно отправить не больше 10 файлов",
  emptyFile: (name) => `Файл «${name}» пуст`,
  action: { typing: "печатает", upload_photo: "отправляет фото", record_video: "записывает видео", upload_video: "отправляет видео",
    upload_document: "отправляет файл", choose_sticker: "выбирает стикер", record_voice: "записывает голос", upload_voice: "отправляет голос" },
  actionOther: "занят",
  thisPerson: "Этот человек", block: "Заблокировать бота", blockHint: "Бот получит 403 на любую отправку",
  language: "Язык в Telegram", name: "Имя", create: "Создать", role: "Роль",
  time: "Время", speed: "Скорость часов", advance: "Перевести часы вперёд", seconds: "с", minutes: "мин", hours: "ч", days: "д",
  faults: "Сбои", faultsHint: "Сбой случится со следующим подходящим вызовом бота.", planFault: "Запланировать", times: "раз",
  planned: (n) => `Запланировано: ${n}`, noFaults: "Сбоев не запланировано", clearFaults: "Отменить все",
  reset: "Начать заново", resetHint: "Стереть переписку, платежи и задания песочницы. База бота не меняется.",
  resetAsk: "Стереть всё в песочнице?", faultPlanned: "Сбой запланирован", clockSet: (n) => `Часы идут ×${n}`, clockMoved: "Часы переведены",
  units: ["Б", "КБ", "МБ", "ГБ"],
};

const EN = {
  sandbox: "Sandbox", people: "People", messages: "Messages", commands: "Bot commands", message: "Message",
  peopleHint: "Write to the bot as any of these people. Money and tokens are not real.",
  switchLanguage: "Переключить на русский", otherLanguage: "Русский", newUser: "New user", back: "Back to people",
  openSandbox: "Sandbox settings", attach: "Attach a photo, video or file", send: "Send",
  toggleKeyboard: "Show or hide buttons", dropHere: "Drop to attach", start: "Start",
  unblock: "Unblock the bot", admin: "admin", customer: "customer", blockedTag: "blocked the bot",
  writingAs: (name) => `You are ${name}`, bot: "bot", noBotName: "Bot", connecting: "connecting…",
  noBot: "The bot has not connected yet. Start it with this Bot API address:",
  offline: "The sandbox does not answer. The connection will come back by itself.",
  emptyTitle: "Nothing here yet", emptyText: "Press “Start” to begin.",
  waitingTitle: "Waiting for the bot", waitingText: "The chat begins as soon as the bot connects to the sandbox.",
  choose: "Choose who you write as",
  today: "Today", yesterday: "Yesterday", edited: "edited", thinking: "Thinking…", delivered: "delivered", answered: "the bot answered",
  newMessages: (n) => (n === 1 ? "1 new message" : `${n} new messages`),
  unread: (n) => `${n} unread`, toBottom: "To the latest messages",
  photo: "Photo", video: "Video", file: "File", audio: "Audio", voice: "Voice message", sticker: "Sticker", animation: "Animation",
  unsupported: "The sandbox does not show messages of this kind", download: "Download", openPhoto: "Open photo", play: "Play",
  close: "Close", previous: "Previous", next: "Next", ok: "OK", cancel: "Cancel", openLink: "Open link",
  noMedia: "Could not be loaded", code: "Code", showSpoiler: "Show hidden text", unfold: "Show the whole quote", copied: "Copied",
  pay: "Pay", paid: (sum) => `You paid ${sum}`, refunded: (sum) => `You were refunded ${sum}`, invoice: "Invoice",
  payTimeout: "The bot did not confirm the payment within 10 seconds. You were not charged.",
  payTitle: "Pay this invoice?", payHint: "The money is not real: sandbox stars will be spent.",
  notHere: "The sandbox cannot do this", noAnswer: "The bot did not answer the button press",
  blockedSend: "You have blocked the bot", serverGone: "The sandbox does not answer", failed: "That did not work",
  attachTitle: (n) => (n === 1 ? "Send file" : `Send ${n} files`), asFile: "Send as a file, uncompressed",
  caption: "Caption", addMore: "Add more", remove: "Remove", tooMany: "At most 10 files at once",
  emptyFile: (name) => `The file “${name}” is empty`,
  action: { typing: "typing", upload_photo: "sending a photo", record_video: "recording a video", upload_video: "sending a video",
    upload_document: "sending a file", choose_sticker: "choosing a sticker", record_voice: "recording voice", upload_voice: "sending voice" },
  actionOther: "busy",
  thisPerson: "This person", block: "Block the bot", blockHint: "The bot gets 403 for everything it sends",
  language: "Telegram language", name: "Name", create: "Create", role: "Role",
  time: "Time", speed: "Clock speed", advance: "Move the clock forward", seconds: "s", minutes: "min", hours: "h", days: "d",
  faults: "Faults", faultsHint: "A fault happens at the bot's next matching call.", planFault: "Plan", times: "times",
  planned: (n) => `Planned: ${n}`, noFaults: "No faults planned", clearFaults: "Cancel all",
  reset: "Start over", resetHint: "Delete the sandbox's chats, payments and jobs. The bot's database does not change.",
  resetAsk: "Delete everything in the sandbox?", faultPlanned: "Fault planned", clockSet: (n) => `The clock runs ×${n}`, clockMoved: "Clock moved",
  units: ["B", "KB", "MB", "GB"],
};

function plural(n, one, few, many) {
  const rule = new Intl.PluralRules("ru").select(n);
  return rule === "one" ? one : rule === "few" ? few : many;
}

const KEY = "sandbox.language";
let language = localStorage.getItem(KEY) === "en" ? "en" : "ru";

export const currentLanguage = () => language;

/** The text for `key`; texts that depend on a value are functions and get it as the second argument. */
export function t(key, value) {
  const entry = (language === "en" ? EN : RU)[key];
  return typeof entry === "function" ? entry(value) : entry ?? key;
}

export function setLanguage(next) {
  language = next;
  localStorage.setItem(KEY, next);
}

/** Writes the texts into the static page, wherever `data-i18n` or `data-i18n-label` asks for them. */
export function translatePage() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-i18n]")) node.textContent = t(node.dataset.i18n);
  for (const node of document.querySelectorAll("[data-i18n-label]")) {
    node.setAttribute("aria-label", t(node.dataset.i18nLabel));
    if (node.tagName === "BUTTON") node.title = t(node.dataset.i18nLabel);
  }
}

export const formatTime = (seconds) =>
  new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(seconds * 1000);

/** "Today", "Yesterday" or the date of a moment (seconds since 1970). */
export function formatDay(seconds) {
  const day = new Date(seconds * 1000);
  const today = new Date();
  const apart = Math.round((new Date(today).setHours(0, 0, 0, 0) - new Date(day).setHours(0, 0, 0, 0)) / 86_400_000);
  if (apart === 0) return t("today");
  if (apart === 1) return t("yesterday");
  const year = day.getFullYear() === today.getFullYear() ? {} : { year: "numeric" };
  return new Intl.DateTimeFormat(language, { day: "numeric", month: "long", ...year }).format(day);
}

export function formatSize(bytes) {
  let size = Number(bytes) || 0;
  let unit = 0;
  for (; size >= 1024 && unit < 3; unit += 1) size /= 1024;
  const digits = unit === 0 || size >= 100 ? 0 : 1;
  return `${new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(size)} ${t("units")[unit]}`;
}

export function formatDuration(seconds) {
  const whole = Math.max(0, Math.round(Number(seconds) || 0));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** `amount` is in the currency's smallest unit; for Stars (`XTR`) that is one star. */
export function formatMoney(amount, currency) {
  if (currency === "XTR") return `${new Intl.NumberFormat(language).format(amount)} ⭐`;
  try {
    return new Intl.NumberFormat(language, { style: "currency", currency }).format(amount / 100);
  } catch {
    return `${amount / 100} ${currency}`;
  }
}
