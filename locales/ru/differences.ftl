# The provider's books and ours compared: what administrators read.

corrected-up = 💰 Исправили ошибку в расчётах: начислено { $amount }. На балансе { $balance }
corrected-down = Исправили ошибку в расчётах: списано { $amount }. На балансе { $balance }
command-reconcile = Сверить платежи с ЮKassa
command-fix = Решить расхождения в платежах
reconcile-usage = Так: /reconcile или /reconcile 30 (сколько дней назад, до { $days })
reconcile-unreachable = Платёжный сервис не ответил до конца. Попробуйте позже: ничего не изменилось.
reconcile-done = 🔎 Сверили: платежей { $payments }, возвратов { $refunds }. Исправлено само: { $settled }. Не удалось сверить: { $failed }. Ждут решения: { $open } (/fix)
fix-usage = Так: /fix — список, /fix 12 apply — провести, /fix 12 dismiss — закрыть без проводки
fix-none = ✅ Расхождений, которые ждут решения, нет.
fix-list = ⚖️ Ждут решения: { $count }
fix-line = <b>№ { $id }</b> от { $when }: { $what }. Платёж <code>{ $payment }</code>, у платёжного сервиса { $theirs }, человек <code>{ $user }</code>
fix-proposal = Предлагаем: { $what }
fix-propose-nothing = проводки нет, посмотрите в кабинете
fix-propose-credit = начислить { $amount } → <code>{ $user }</code>
fix-propose-settle = зачислить как обычный платёж { $amount } → <code>{ $user }</code>
fix-propose-take = списать { $amount } с <code>{ $user }</code>
fix-applied = ✅ № { $id }: сделано, { $what }.
fix-dismissed = № { $id } закрыто без проводки (предлагалось: { $what }).
fix-impossible = № { $id }: решение уже принято, проводить нечего или деньги с тех пор уже двигались. Закрыть: /fix { $id } dismiss
alert-difference = ⚖️ Расхождение № { $id } с платёжным сервисом ({ $kind }): посмотрите /fix
difference-unknown-payment = у платёжного сервиса есть оплата, которой у нас нет
difference-second-payment = один заказ оплачен дважды
difference-sum-differs = суммы не сходятся
difference-not-credited = оплачен, но не зачислен
difference-credited-unknown = зачислен у нас, а платёжный сервис его не знает
difference-credited-unpaid = зачислен у нас, а у платёжного сервиса не оплачен
difference-quarantined = отложен: данные не сходятся с заказом
difference-refund-of-unknown = возврат по платежу, которого у нас нет
difference-refund-not-taken = возвращён там, но не списан здесь
difference-refund-sum-differs = сумма возврата не сходится
difference-refund-unknown = списан здесь, а возврата у платёжного сервиса нет

command-export = Выгрузить операции в CSV
export-usage = Так: /export ledger 2026-11-01 2026-11-30 (или payments, refunds, receipts, margin; дни по Москве, оба включительно)
export-done = 📄 Строк: { $count }
export-too-big = Файл слишком большой для чата. Возьмите период короче или выгрузите на сервере: python main.py export
