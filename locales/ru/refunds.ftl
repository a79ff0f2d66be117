# Returning payments: what administrators read, and how it stands in a person's statement.

refund-usage = Так: /refund_payment номер-платежа или /refund_payment номер-платежа 100 (часть, в рублях)
refund-ask = ↩️ Вернуть <b>{ $amount }</b> по платежу <code>{ $id }</code> (человек <code>{ $user }</code>)? Осталось { $left }, после возврата останется { $rest }.
refund-earlier = Раньше вернули: { $amount }, { $when }
refund-earlier-same = ⚠️ Столько же уже возвращали: { $amount }, { $when }. Это ещё один возврат.
refund-yes = Вернуть { $amount }
refund-no = Не возвращать
refund-dropped = Ничего не вернули.
refund-overtaken = По платежу <code>{ $id }</code> за это время вернули что-то ещё, поэтому этот возврат не начат. Посмотрите /user и повторите, если нужно.
refund-stale = Эта кнопка уже не действует: есть команда новее или возврат отменён. Ничего не вернули.
refund-done = ✅ Вернули { $amount } по платежу <code>{ $id }</code>: деньги ушли туда, откуда пришли.
refund-waiting = ⏳ Возврат { $amount } по платежу <code>{ $id }</code> начат: с баланса списано, платёжный сервис ещё не ответил. Доведём до конца сами и напишем.
refund-canceled = ❌ Возврат { $amount } по платежу <code>{ $id }</code> не прошёл ({ $reason }). На баланс всё вернулось.
refund-impossible = По этому платежу столько вернуть нельзя: он не оплачен, уже возвращён или остаток меньше.
command-refund_payment = Вернуть платёж или его часть

alert-refund-done = ✅ По платежу <code>{ $payment }</code> вернули { $sum } (человек <code>{ $user }</code>).
alert-refund-canceled = ❌ Возврат { $sum } по платежу <code>{ $payment }</code> не прошёл ({ $reason }). На баланс <code>{ $user }</code> всё вернулось.

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
