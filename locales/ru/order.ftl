# Orders: the card of a draft, the live message, the result, the history.

# --- kinds --------------------------------------------------------------------------------------------
kind-image = 🎨 Картинка
kind-edit = ✏️ Правка фото
kind-video = 🎬 Клип
kind-animate = 🎬 Клип из фото

# --- the card -----------------------------------------------------------------------------------------
card-photos = 📎 { $count ->
    [one] { $count } фото
   *[other] { $count } фото
 }
card-money = 💰 На балансе { $balance }
card-money-after = 💰 На балансе { $balance }, останется { $after }
card-money-short = 💰 На балансе { $balance } — не хватает { $missing }
card-no-prompt = Что сделать с фото? Напишите словами, что изменить, или нажмите «Оживить».
card-edit-result = ✏️ Что изменить на этой картинке? Напишите словами.
card-no-prompt-edit = Напишите, что сделать с фото.
card-no-prompt-animate = Напишите, что должно происходить в клипе, или сразу нажмите «Создать».
card-too-many-photos = Эта модель принимает не больше { $limit } фото. Остальные не добавлены.
card-clip-one-photo = Для клипа нужно одно фото: берётся первое.
card-price-changed = Цена изменилась: посмотрите и подтвердите ещё раз.
card-option-model = Выберите модель:
card-option-ratio = Выберите формат кадра:
card-option-size = Выберите размер:
card-option-dur = Выберите длину:
card-option-res = Выберите качество:
card-option-audio = Нужен звук?

button-create = Создать · { $price }
button-cancel = ✖️ Отмена
button-back = ‹ Назад
button-prompt = ✏️ Текст
button-photo = 📎 Ещё фото
button-photo-first = 📎 Фото
button-to-clip = 🎬 Сделать клип
button-to-image = 🎨 Сделать картинку
button-edit-photo = ✏️ Изменить
button-animate-photo = 🎬 Оживить
label-ratio = 📐 { $ratio }
label-ratio-photo = 📐 Как на фото
label-size = 🔍 { $size }
label-duration = ⏱ { $seconds } с
label-resolution = 📺 { $resolution }
label-sound-on = 🔊 Со звуком
label-sound-off = 🔇 Без звука
choice-price = { $title } · { $price }

ask-prompt = ✏️ Напишите новый текст.
ask-photo = 📎 Пришлите фото.
photo-expected = Жду фото. Если передумали, нажмите «Отмена».
photo-full = Больше фото эта модель не принимает.

prompt-too-long = Слишком длинно: можно { $limit ->
    [one] { $limit } символ
    [few] { $limit } символа
    [many] { $limit } символов
   *[other] { $limit } символа
 }, а здесь на { $over ->
    [one] { $over } символ
    [few] { $over } символа
    [many] { $over } символов
   *[other] { $over } символа
 } больше. Сократите и пришлите снова.
prompt-missing = Сначала напишите, что сделать.
photo-missing = Сначала пришлите фото.
photo-gone = Фото уже не хранится. Пришлите его ещё раз.
photo-unfit = Это фото не подходит: оно слишком маленькое или слишком вытянутое.
too-many-photos = Столько фото эта модель не принимает. Пришлите меньше.
unknown-model = Этой модели больше нет. Выберите другую.
provider-off = Это сейчас недоступно. Попробуйте позже.
order-stale = Этот заказ устарел. Напишите заново, что сделать.
order-running = Этот заказ уже в работе.
order-done = Этот заказ уже выполнен. Он есть в /history
order-dropped = Заказ отменён. Деньги не списаны.

photo-too_large = Файл слишком большой: до { $megabytes } МБ. Уменьшите и пришлите снова.
photo-too_many_pixels = В этой картинке слишком много пикселей. Уменьшите её и пришлите снова.
photo-too_small = Фото слишком маленькое. Пришлите покрупнее.
photo-too_narrow = Фото слишком вытянутое. Обрежьте его и пришлите снова.
photo-not_an_image = Это не картинка. Пришлите JPEG, PNG или WEBP.
photo-heic_unsupported = Формат HEIC пока не читаю. Отправьте фото как обычное фото, не файлом.
photo-broken = Файл повреждён. Пришлите его ещё раз.
photo-unavailable = Не получилось скачать фото. Пришлите его ещё раз через минуту.
photo-for-clip-small = Для клипа фото маловато: нужно хотя бы { $pixels } пикселей по короткой стороне. Пришлите покрупнее.
photo-for-clip-narrow = Для клипа фото слишком вытянутое. Обрежьте его и пришлите снова.

# --- while an order is in progress ----------------------------------------------------------------------
live-queued = 🕓 <b>В очереди</b>
live-queued-behind = 🕓 <b>В очереди</b>, перед вами { $count ->
    [one] { $count } заказ
    [few] { $count } заказа
    [many] { $count } заказов
   *[other] { $count } заказа
 }
live-working = 🎨 <b>Рисую…</b> Обычно это 10–40 секунд.
live-working-for = 🎨 <b>Рисую…</b> Прошло { $elapsed }: дольше обычного, но работа идёт.
live-submitting = 📤 <b>Передаю клип в работу…</b>
live-submitting-for = 📤 <b>Передаю клип в работу…</b> Прошло { $elapsed }: жду ответа; если его не будет, попробую ещё раз.
live-rendering = 🎬 <b>Снимаю клип…</b> Обычно это 1–4 минуты.
live-rendering-for = 🎬 <b>Снимаю клип…</b> Прошло { $elapsed }, обычно 1–4 минуты.
live-saving = 💾 <b>Готово, сохраняю…</b>
live-held = 💰 Отложено { $price } — спишется только за готовый результат.
elapsed-seconds = { $seconds } с
elapsed-minutes = { $minutes } мин { $seconds } с
button-stop = ✖️ Отменить заказ

# --- the end of an order --------------------------------------------------------------------------------
final-done = ✅ <b>Готово</b> · списано { $price }, на балансе { $balance }
final-failed = ⚠️ <b>Не получилось.</b> { $why }
final-returned = 💰 Деньги вернулись на баланс: { $price }
final-cancelled = ✖️ <b>Заказ отменён.</b>
result = { $kind } · { $price }
result-original = 📎 Оригинал без сжатия
result-too-large = Результат готов, но файл больше, чем принимает Telegram. Он хранится в /history. Если передать его не получится, деньги вернутся на баланс.
result-expired = Этот результат больше не хранится.
button-again = 🔁 Повторить · { $price }
button-try-again = 🔁 Попробовать ещё раз
button-edit-result = ✏️ Изменить
button-animate-result = 🎬 Оживить
stop-too-late = Заказ уже в работе, отменить его нельзя. Если не получится, деньги вернутся на баланс.
stop-done = Заказ отменён, { $price } снова на балансе.

failure-prompt = Модель отказалась делать такое по своим правилам. Измените текст или фото и попробуйте снова.
failure-copy = Получилось слишком похоже на чужую работу или марку. Опишите своими словами.
failure-language = Модель не понимает этот язык. Напишите по-русски или по-английски.
failure-text-only = Модель ответила словами вместо картинки. Опишите точнее, что нарисовать.
failure-complex = Для одного раза слишком сложно. Упростите описание.
failure-photo = Модель не смогла прочитать фото. Пришлите другое.
failure-photo-gone = Фото уже не хранится. Пришлите его ещё раз.
failure-busy = Сервис сейчас перегружен или не отвечает. Попробуйте чуть позже.
failure-no-result = Модель не справилась с этим заказом. Попробуйте ещё раз или измените описание.
failure-ours = Ошибка на стороне бота. Попробуйте позже.
failure-timeout = Слишком долго не было ответа. Попробуйте ещё раз.
failure-admin = Заказ остановлен администратором.

# --- history -----------------------------------------------------------------------------------------------
history-title = 🗂 <b>История</b>
history-empty = Здесь пока пусто. Напишите, что нарисовать.
history-line-completed = ✅
history-line-failed = ⚠️
history-line-cancelled = ✖️
history-line-pending = 🕓
history-line-processing = ⏳
button-newer = ‹ Новее
button-older = Старше ›
job-open = Этот заказ ещё в работе.
