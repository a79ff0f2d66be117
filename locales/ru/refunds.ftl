# Refunds of payments: what admins read, and the lines in a user's statement.

refund-usage = Так: /refund_payment номер-платежа или /refund_payment номер-платежа 100 (часть, в рублях)
refund-ask = ↩️ Вернуть <b>{ $amount }</b> по платежу <code>{ $id }</code> (пользователь <code>{ $user }</code>)? Осталось { $left }, после возврата останется { $rest }.
refund-earlier = Возвращено раньше: { $amount }, { $when }
refund-earlier-same = ⚠️ Столько же уже возвращено: { $amount }, { $when }. Это ещё один возврат.
refund-yes = Вернуть { $amount }
refund-no = Не возвращать
refund-dropped = Ничего не возвращено.
refund-overtaken = По платежу <code>{ $id }</code> за это время прошёл другой возврат, поэтому этот не начат. Посмотрите /user и повторите, если нужно.
refund-stale = Эта кнопка уже не действует: есть команда новее или возврат отменён. Ничего не возвращено.
refund-done = ✅ Возвращено { $amount } по платежу <code>{ $id }</code>: деньги ушли туда, откуда пришли.
refund-waiting = ⏳ Возврат { $amount } по платежу <code>{ $id }</code> начат: с баланса списано, платёжный сервис ещё не ответил. Возврат завершится сам, и придёт сообщение.
refund-canceled = ❌ Возврат { $amount } по платежу <code>{ $id }</code> не прошёл ({ $reason }). Деньги снова на балансе.
refund-impossible = По этому платежу столько вернуть нельзя: он не оплачен, уже возвращён или остаток меньше.
command-refund_payment = Вернуть платёж или его часть

alert-refund-done = ✅ По платежу <code>{ $payment }</code> возвращено { $sum } (пользователь <code>{ $user }</code>).
alert-refund-canceled = ❌ Возврат { $sum } по платежу <code>{ $payment }</code> не прошёл ({ $reason }). Деньги снова на балансе <code>{ $user }</code>.

entry-returned = возврат платежа отменён
entry-correction = исправление администратора

admin-user-payments = <b>Платежи</b>
admin-user-payment = <code>{ $id }</code> { $when } · { $amount } · { $status }
payment-status-pending = ждёт оплаты
payment-status-paid = оплачен
payment-status-refunded = возвращён
payment-status-canceled = отменён
payment-status-part = оплачен, возвращено { $amount }
payment-status-quarantined = под вопросом
