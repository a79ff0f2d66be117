# Refunds of payments: what admins read, and the lines in a user's statement.

refund-usage = Usage: /refund_payment payment-id or /refund_payment payment-id 100 (a part, in rubles)
refund-ask = ↩️ Refund <b>{ $amount }</b> of payment <code>{ $id }</code> (user <code>{ $user }</code>)? Left to refund: { $left }, after this refund: { $rest }.
refund-earlier = Refunded earlier: { $amount }, { $when }
refund-earlier-same = ⚠️ The same amount was already refunded: { $amount }, { $when }. This is one more refund.
refund-yes = Refund { $amount }
refund-no = Do not refund
refund-dropped = Nothing was refunded.
refund-overtaken = Another refund of payment <code>{ $id }</code> was made in the meantime, so this one was not started. Check /user and send the command again if needed.
refund-stale = This button no longer works: there is a newer command, or the refund was cancelled. Nothing was refunded.
refund-done = ✅ { $amount } of payment <code>{ $id }</code> refunded to where it came from.
refund-waiting = ⏳ The refund of { $amount } of payment <code>{ $id }</code> has started. The amount was deducted from the balance; the payment service has not answered yet. The refund will finish by itself, and you will get a message.
refund-canceled = ❌ The refund of { $amount } of payment <code>{ $id }</code> was rejected ({ $reason }). The money is back on the balance.
refund-impossible = This amount cannot be refunded: the payment is not paid, is already refunded, or has less left.
command-refund_payment = Refund a payment or a part of it

alert-refund-done = ✅ { $sum } of payment <code>{ $payment }</code> refunded (user <code>{ $user }</code>).
alert-refund-canceled = ❌ The refund of { $sum } of payment <code>{ $payment }</code> was rejected ({ $reason }). The money is back on the balance of <code>{ $user }</code>.

entry-returned = payment refund cancelled
entry-correction = correction by the admin

admin-user-payments = <b>Payments</b>
admin-user-payment = <code>{ $id }</code> { $when } · { $amount } · { $status }
payment-status-pending = not paid yet
payment-status-paid = paid
payment-status-refunded = refunded
payment-status-canceled = cancelled
payment-status-part = paid, { $amount } refunded
payment-status-quarantined = needs review
