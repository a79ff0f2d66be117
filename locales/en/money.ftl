# Money: balance, statement, top-ups.

balance = 💰 Your balance: <b>{ $balance }</b>
balance-held = ⏳ On hold for orders: { $held }
balance-debt = ❗️ Debt: { $debt }. Your next top-up will cover it.
button-topup = ➕ Top up
button-topup-exact = ➕ Top up { $price }
button-statement = 📜 All transactions

statement-title = 📜 <b>Transactions</b>, your balance: { $balance }
statement-empty = No transactions yet.
statement-line = { $when } · <b>{ $amount }</b> · { $what }
entry-topup = top-up
entry-grant = gift from the admin
entry-takeback = payment refund
entry-debt = debt payment
entry-migration = transfer of the earlier balance
entry-reserve-image = picture
entry-reserve-edit = photo edit
entry-reserve-video = clip
entry-reserve-animate = clip from a photo
entry-refund = refund
entry-difference = refund of the difference
entry-compensation = refund
entry-other-in = received
entry-other-out = charged
entry-with-prompt = { $what } “{ $prompt }”

topup = ➕ <b>Top up</b>

    Your balance: { $balance }. You pay through YooKassa. No subscriptions, no automatic charges.
topup-both = ➕ <b>Top up</b>

    Your balance: { $balance }. Pay in rubles through YooKassa or in Stars right here in Telegram. No subscriptions, no automatic charges.
topup-missing = You need <b>{ $missing }</b> more: the order costs { $price }, your balance is { $balance }.

    Top up, then continue the order with one tap.
topup-minimum = The minimum top-up is { $minimum }.
topup-none = Top-ups are unavailable right now. Please contact the bot’s admin.
topup-off = Card payments are unavailable right now. Open /topup to see other options.
topup-stars-off = This amount can’t be paid in Stars right now. Open /topup to see other options.
topup-other = ✏️ Other amount
topup-ask = How much would you like to add? Enter an amount from { $minimum } to { $maximum }.
topup-not-a-sum = That doesn’t look like an amount. Enter a number, such as 500.
topup-too-precise = Use at most two decimal places, such as 499.90.
topup-too-small = The minimum is { $minimum }. Enter a larger amount.
topup-too-big = The maximum is { $maximum }. Enter a smaller amount.
topup-link = 💳 Top-up of <b>{ $amount }</b>

    Tap “Pay”, then come back here. The money arrives automatically.
button-pay = 💳 Pay { $amount }
button-check = 🔄 Check payment
topup-try-later = The payment service isn’t responding. Nothing was charged. Please try again in a minute.
topup-refused = The payment service rejected the request. Please try again later.
check-pending = The payment hasn’t arrived yet. It usually takes less than a minute.
check-paid = Payment received!
check-canceled = This payment was cancelled. You can start a new one.
check-unclear = An admin is checking this payment.

credited = ✅ <b>{ $amount } added</b>

    💰 Your balance: { $balance }
credited-debt = { $debt } of it covered your debt.
credited-waits = Your order is waiting: { $title }
button-continue = ▶️ Continue order · { $price }
payment-canceled = Your top-up of { $amount } didn’t go through: { $why }
cancel-reason-expired = the time to pay ran out.
cancel-reason-funds = there wasn’t enough money on the card.
cancel-reason-card = the bank declined it. Try another card.
cancel-reason-fraud = the bank found it suspicious. Try another card.
cancel-reason-other = the payment service cancelled it.
took-back = Your payment was refunded: { $amount } was deducted from your balance.
took-back-owed = Your payment was refunded: { $amount }. Your balance was too low, so you have a debt of { $owed }.
granted = 🎁 You received { $amount }. Your balance: { $balance }
compensated-undelivered = 💰 Returned to your balance: { $amount }. The result couldn’t be delivered.
compensated-admin = 💰 Returned to your balance: { $amount } for the order “{ $title }”.

payment-description = Balance top-up of { $sum }
