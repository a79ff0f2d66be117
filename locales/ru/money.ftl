# Money: balance, statement, top-ups.

balance = 💰 На балансе <b>{ $balance }</b>
balance-held = ⏳ Отложено под заказы: { $held }
balance-debt = ❗️ Долг: { $debt }. Его погасит ближайшее пополнение.
button-topup = ➕ Пополнить
button-topup-exact = ➕ Пополнить на { $price }
button-statement = 📜 Все операции

statement-title = 📜 <b>Операции</b>, сейчас на балансе { $balance }
statement-empty = Операций пока нет.
statement-line = { $when } · <b>{ $amount }</b> · { $what }
entry-topup = пополнение
entry-grant = подарок от администратора
entry-takeback = возврат платежа
entry-debt = погашение долга
entry-migration = перенос прежнего баланса
entry-reserve-image = картинка
entry-reserve-edit = правка фото
entry-reserve-video = клип
entry-reserve-animate = клип из фото
entry-refund = возврат
entry-difference = возврат разницы
entry-compensation = возврат
entry-other-in = поступление
entry-other-out = списание
entry-with-prompt = { $what } «{ $prompt }»

topup = ➕ <b>Пополнить баланс</b>

    На балансе { $balance }. Платёж проходит через ЮKassa, никаких подписок и автосписаний.
topup-both = ➕ <b>Пополнить баланс</b>

    На балансе { $balance }. Рублями платят через ЮKassa, звёздами — прямо в Telegram. Никаких подписок и автосписаний.
topup-missing = Не хватает <b>{ $missing }</b>: заказ стоит { $price }, на балансе { $balance }.

    Пополните баланс, и заказ продолжится одним нажатием.
topup-minimum = Наименьшее пополнение — { $minimum }.
topup-none = Пополнение сейчас не подключено. Напишите администратору бота.
topup-off = Пополнение картой сейчас не подключено. Откройте /topup, там всё, что есть.
topup-stars-off = Пополнение звёздами на эту сумму сейчас не подключено. Откройте /topup, там всё, что есть.
topup-other = ✏️ Другая сумма
topup-ask = На сколько рублей пополнить? Напишите сумму от { $minimum } до { $maximum }.
topup-not-a-sum = Не похоже на сумму. Напишите число, например 500.
topup-too-precise = После запятой может быть не больше двух цифр. Напишите сумму, например 499,90.
topup-too-small = Это меньше { $minimum }. Напишите сумму побольше.
topup-too-big = Это больше { $maximum } за один раз. Напишите сумму поменьше.
topup-link = 💳 Пополнение на <b>{ $amount }</b>

    Нажмите «Оплатить», а потом вернитесь сюда: деньги придут сами.
button-pay = 💳 Оплатить { $amount }
button-check = 🔄 Проверить оплату
topup-try-later = Платёжный сервис не отвечает. Попробуйте через минуту, деньги не списаны.
topup-refused = Платёжный сервис отклонил запрос. Попробуйте позже.
check-pending = Оплата ещё не пришла. Обычно это занимает меньше минуты.
check-paid = Деньги пришли!
check-canceled = Этот платёж отменён. Можно начать новый.
check-unclear = Платёж проверяет администратор.

credited = ✅ <b>Зачислено { $amount }</b>

    💰 На балансе { $balance }
credited-debt = Из них { $debt } ушло в счёт долга.
credited-waits = Ждёт ваш заказ: { $title }
button-continue = ▶️ Продолжить заказ · { $price }
payment-canceled = Пополнение на { $amount } не прошло: { $why }
cancel-reason-expired = время на оплату вышло.
cancel-reason-funds = на карте не хватило денег.
cancel-reason-card = банк или карта отклонили платёж. Попробуйте другую карту.
cancel-reason-fraud = платёж показался банку подозрительным. Попробуйте другую карту.
cancel-reason-other = платёжный сервис его отменил.
took-back = Платёж вернулся туда, откуда пришёл: { $amount } списано с баланса.
took-back-owed = Платёж вернулся туда, откуда пришёл: { $amount }. На балансе столько не было, поэтому долг { $owed }.
granted = 🎁 Вам начислено { $amount }. На балансе { $balance }
compensated-undelivered = 💰 Деньги вернулись на баланс: { $amount }. Результат не удалось вам передать.
compensated-admin = 💰 Деньги вернулись на баланс: { $amount } за заказ «{ $title }».

payment-description = Пополнение баланса на { $sum }
