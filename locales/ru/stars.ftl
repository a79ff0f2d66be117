# Paying in Telegram Stars, and the commands that Telegram wants of who sells.

button-stars = { $amount } за ⭐ { $stars }
topup-stars = 
    ➕ <b>Пополнить баланс</b>

    На балансе { $balance }. Оплата звёздами Telegram, они спишутся один раз.
stars-title = Пополнение на { $sum }
stars-description = Деньги на балансе бота: картинки и клипы. Приходят сразу после оплаты.
stars-not-yours = Этот счёт не для вас. Откройте /topup и выберите сумму сами.
stars-stale = Этот счёт устарел или уже оплачен. Откройте /topup, там новый.
support-usage = 💬 Вопрос об оплате? Напишите его одной строкой: /paysupport когда, сколько и что случилось. Ответит владелец бота.
support-sent = ✅ Передали владельцу. Каждую операцию видно в /balance.
alert-support = 💬 Вопрос об оплате от <code>{ $user }</code>: { $text }
terms = 📄 <b>Условия.</b> Пополнение зачисляется на баланс в рублях и тратится только на готовые результаты. Если результата нет, деньги возвращаются на баланс. Неистраченное вернём туда, откуда оно пришло: напишите /paysupport. Подписок и автосписаний нет.
command-paysupport = Вопрос об оплате
command-terms = Условия
