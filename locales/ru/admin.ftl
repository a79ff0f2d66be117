# What admins read.

admin-panel =
    🛠 <b>Управление</b>

    /stats — сводка по магазину
    /user <code>id</code> или <code>@имя</code> — пользователь
    /grant <code>id рубли [заметка]</code> — начислить
    /ban <code>id</code> · /unban <code>id</code>
    /job <code>номер</code> — история заказа
    /refund <code>номер [заметка]</code> — вернуть деньги за заказ
    /refund_payment <code>номер [рубли]</code> — вернуть платёж туда, откуда он пришёл
    /reconcile <code>[дней]</code> — сверить платежи с ЮKassa и звёздами Telegram
    /fix — расхождения, которые ждут решения
    /margin <code>[дней]</code> — маржа по моделям и дням
    /export <code>ledger с по</code> — операции в CSV (ещё payments, refunds, receipts, margin)
    /maintenance <code>on</code> или <code>off</code> — пауза для новых заказов
admin-stats =
    📊 <b>Магазин</b>

    Пользователей: { $users } (за сутки +{ $users_today })
    На балансах: { $balances }
    Отложено: { $held }
    Долги: { $debts }

    <b>За сутки</b>
    Пополнений: { $topups }
    Заработано: { $charged }
    Расходы на поставщиков: { $cost }
    Заказы: { $jobs }
    Сделано за свой счёт: { $lost }

    В работе: { $open }
    Не доставлено: { $undelivered }
    Платежи под вопросом: { $quarantined }
    Пауза: { $maintenance }
admin-jobs-none = не было
admin-jobs-pending = ждёт
admin-jobs-processing = в работе
admin-jobs-completed = готово
admin-jobs-failed = не получилось
admin-jobs-cancelled = отменено
admin-on = включена
admin-off = выключена
admin-user =
    👤 <b>{ $name }</b> { $username }
    <code>{ $id }</code>, язык { $language }, с { $since }

    Баланс: { $balance }
    Отложено: { $held }
    Долг: { $debt }
    Всего пополнено: { $paid }
    Заказов: { $jobs }, в работе { $open }
    { $marks }
    { $payments }
admin-user-banned = 🚫 доступ закрыт
admin-user-unreachable = 🔕 бот заблокирован
admin-user-fine = ✅ всё в порядке
admin-granted = Начислено { $amount } → <code>{ $id }</code>. Теперь на балансе { $balance }
admin-granted-stranger = ⚠️ Этот пользователь ещё не писал боту: проверьте id.
admin-banned = Доступ для <code>{ $id }</code> закрыт.
admin-ban-admin = Это администратор: его доступ закрывает только <code>ADMIN_IDS</code> в настройках.
admin-unbanned = Доступ для <code>{ $id }</code> открыт.
admin-not-found = Не найдено.
admin-job =
    🧾 <code>{ $id }</code>
    { $kind } · { $model } · { $status }
    Пользователь: <code>{ $user }</code>
    Цена: { $price }, списано: { $charged }
    Ошибка: { $error }
    Доставлено: { $delivered }
    Параметры: <code>{ $params }</code>
    <blockquote expandable>{ $prompt }</blockquote>
admin-job-events = <b>События</b>
job-event-confirmed = заказ принят, деньги отложены
job-event-claimed = взят в работу
job-event-submitted = передан поставщику
job-event-rendered = клип снят, идёт скачивание
job-event-stored = результат сохранён, деньги списаны
job-event-crashed = внутренний сбой, будет повтор
job-event-cut-off = работа прервана, будет продолжена
job-event-not-found = у поставщика заказа пока нет, будет ещё проверка
job-event-lost = ответ не дошёл, идёт проверка: { $code }
job-event-search = не удалось узнать, дошёл ли заказ: { $code }
job-event-fetch = клип не скачался, нужна новая ссылка: { $code }
job-event-compensated = деньги возвращены: { $code }
job-event-cancelled = отменён пользователем
job-event-refunded = остановлен администратором, деньги возвращены
job-event-timeout = время вышло, деньги возвращены
job-event-failed = не получилось: { $code }
job-event-again = сбой поставщика, будет повтор: { $code }
admin-job-calls = <b>Вызовы</b>
admin-job-call = { $model }: { $outcome } { $code } { $cost }
admin-refunded = Возвращено { $amount } за <code>{ $id }</code>.
admin-refunded-before = За <code>{ $id }</code> деньги уже возвращены { $when }: { $amount }. Второй раз ничего не начислено.
admin-refund-impossible = За этот заказ возвращать нечего.
admin-maintenance-on = Новые заказы на паузе. Начатые будут доделаны.
admin-maintenance-off = Новые заказы снова принимаются.
admin-usage-user = Так: /user 12345 или /user @name
admin-usage-grant = Так: /grant 12345 100 за помощь (рубли от 0,01 до 1 000 000)
admin-usage-ban = Так: /ban 12345
admin-usage-unban = Так: /unban 12345
admin-usage-job = Так: /job номер
admin-usage-refund = Так: /refund номер заметка
admin-usage-maintenance = Так: /maintenance on или /maintenance off

command-admin = Управление
command-stats = Сводка по магазину
command-user = Пользователь по id или @имени
command-grant = Начислить рубли
command-ban = Закрыть доступ
command-unban = Открыть доступ
command-job = История заказа
command-refund = Вернуть деньги за заказ
command-maintenance = Пауза для новых заказов

# --- alerts: something needs an admin -------------------------------------------------------------------
alert-quarantine = ⚠️ Платёж <code>{ $payment_id }</code> не сходится с данными ЮKassa и не зачислен: { $reason }. Посмотрите его в кабинете ЮKassa, потом решите: /reconcile и /fix.
alert-yookassa = ⚠️ ЮKassa отклоняет запросы ({ $code }): { $detail }
alert-spend = ⚠️ Дневной лимит расходов на поставщиков (${ $limit }) исчерпан: новые заказы не принимаются до полуночи UTC. Изменить: PROVIDER_SPEND_PER_DAY в .env и перезапуск.
alert-refund = ⚠️ Возврат <code>{ $refund }</code> по платежу <code>{ $payment }</code> не удалось провести: посмотрите его в кабинете ЮKassa.
alert-refund-seen = ℹ️ По платежу <code>{ $payment }</code> в ЮKassa возвращено { $sum }: сумма списана с баланса <code>{ $user }</code>.
alert-hint-lost = ⚠️ Уведомление ЮKassa <code>{ $hint }</code> не удалось обработать несколько дней ({ $error }): посмотрите платёж в кабинете ЮKassa.
alert-provider = ⚠️ Поставщик { $provider } не работает ({ $code }): { $detail }
alert-storage = ⚠️ Результаты некуда сохранять: проверьте место на диске.
alert-unmade = ⚠️ Заказ на модель <code>{ $model }</code> выполнить нечем ({ $code }): её нет в каталоге или не задан ключ её поставщика. Деньги возвращены пользователю.
alert-interrupted = ⚠️ Заказ <code>{ $job_id }</code> не выполнен из-за ошибки в программе, деньги возвращены пользователю. Что случилось, сказано в журнале воркера.
alert-disk = ⚠️ На диске, где лежит база, осталось { $percent } % места ({ $free } МБ). Когда оно кончится, магазин не сможет принимать ни заказы, ни оплату. Освободите место: что можно удалить, сказано в RUNBOOK.ru.md, «Диск заполнен».
alert-wal = ⚠️ Журнал базы <code>{ $file }</code> вырос до { $size } МБ: кто-то долго держит базу открытой. Данные целы; сам файл не удаляйте. Что делать — в RUNBOOK.ru.md, «Журнал базы растёт».
alert-backup-failed = ⚠️ Резервная копия не сделана: { $detail }. Прежние копии целы. Что делать — в RUNBOOK.ru.md, «Резервные копии и восстановление».
alert-backup-damaged = ⚠️ Резервная копия повреждена: <code>{ $name }</code> отложена в <code>{ $folder }</code>, прежние целы. Проверьте диск и запустите <code>python main.py audit</code>. { $detail }
alert-backup-faulty = ⚠️ В резервной копии не сходится учёт: <code>{ $name }</code> отложена в <code>{ $folder }</code>, прежние целы. Запустите <code>python main.py audit</code>. { $detail }
alert-other = ⚠️ Нужно внимание администратора: { $text }
