# Returning payments: what administrators read, and how it stands in a person's statement.

refund-usage = Like this: /refund_payment payment-id or /refund_payment payment-id 100 (a part, in rubles)
refund-ask = ↩️ Return <b>{ $amount }</b> of payment <code>{ $id }</code> (person <code>{ $user }</code>)? { $left } are left, { $rest } will be left after it.
refund-earlier = Returned before: { $amount }, { $when }
refund-earlier-same = ⚠️ As much was returned already: { $amount }, { $when }. This is one more return.
refund-yes = Return { $amount }
refund-no = Do not return
refund-dropped = Nothing was returned.
refund-overtaken = Something else of payment <code>{ $id }</code> was returned meanwhile, so this return was not started. Look at /user and send it again if need be.
refund-stale = This button is no longer good: there is a newer command, or it was dropped. Nothing was returned.
refund-done = ✅ { $amount } of payment <code>{ $id }</code> returned to where it came from.
refund-waiting = ⏳ The return of { $amount } of payment <code>{ $id }</code> has begun: taken from the balance, the payment service has not answered yet. We will finish it and tell you.
refund-canceled = ❌ The return of { $amount } of payment <code>{ $id }</code> was refused ({ $reason }). Everything is back on the balance.
refund-impossible = So much of this payment can’t be returned: it is not paid, returned already, or less is left.
command-refund_payment = Return a payment or a part of it

alert-refund-done = ✅ { $sum } of payment <code>{ $payment }</code> returned (person <code>{ $user }</code>).
alert-refund-canceled = ❌ The return of { $sum } of payment <code>{ $payment }</code> was refused ({ $reason }). Everything is back on the balance of <code>{ $user }</code>.

entry-returned = return of a payment called off
entry-correction = correction by an administrator

admin-user-payments = <b>Payments</b>
admin-user-payment = <code>{ $id }</code> { $when } · { $amount } · { $status }
payment-status-pending = not paid yet
payment-status-paid = paid
payment-status-refunded = returned
payment-status-canceled = canceled
payment-status-part = paid, { $amount } returned
payment-status-quarantined = in doubt
