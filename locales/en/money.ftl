# Money: balance, statement, top-ups.

balance = 💰 Your balance: <b>{ $balance }</b>
balance-held = ⏳ Held for orders: { $held }
balance-debt = ❗️ Debt: { $debt }. The next top-up settles it.
button-topup = ➕ Top up
button-topup-exact = ➕ Top up { $price }
button-statement = 📜 All operations

statement-title = 📜 <b>Operations</b>, your balance is { $balance }
statement-empty = No operations yet.
statement-line = { $when } · <b>{ $amount }</b> · { $what }
entry-topup = top-up
entry-grant = gift from the administrator
entry-takeback = payment returned
entry-debt = debt settled
entry-migration = earlier balance moved here
entry-reserve-image = picture
entry-reserve-edit = photo edit
entry-reserve-video = clip
entry-reserve-animate = clip from a photo
entry-refund = money back
entry-difference = difference back
entry-compensation = money back
entry-other-in = received
entry-other-out = charged
entry-with-prompt = { $what } “{ $prompt }”

topup = ➕ <b>Top up</b>

    Your balance is { $balance }. Payment goes through YooKassa, with no subscriptions and no automatic charges.
topup-both = ➕ <b>Top up</b>

    Your balance is { $balance }. Rubles are paid through YooKassa, Stars right here in Telegram. No subscriptions and no automatic charges.
topup-missing = <b>{ $missing }</b> short: the order costs { $price }, your balance is { $balance }.

    Top up, and the order goes on with one tap.
topup-minimum = The smallest top-up is { $minimum }.
topup-none = Topping up is not connected at present. Please write to the bot’s owner.
topup-off = Card payment is not connected at present. Open /topup to see what is.
topup-stars-off = Topping up by this sum in Stars is not connected at present. Open /topup to see what is.
topup-other = ✏️ Another sum
topup-ask = How many rubles? Write a sum from { $minimum } to { $maximum }.
topup-not-a-sum = That does not look like a sum. Write a number, such as 500.
topup-too-precise = There are at most 99 kopecks. Write a sum such as 499.90.
topup-too-small = That is less than { $minimum }. Write a larger sum.
topup-too-big = That is more than { $maximum } at once. Write a smaller sum.
topup-link = 💳 Top up <b>{ $amount }</b>

    Press “Pay”, then come back here: the money arrives by itself.
button-pay = 💳 Pay { $amount }
button-check = 🔄 Check the payment
topup-try-later = The payment service does not answer. Try again in a minute; nothing was charged.
topup-refused = The payment service refused the request. We already know; please try later.
check-pending = The payment has not arrived yet. It usually takes less than a minute.
check-paid = The money is here!
check-canceled = This payment was cancelled. You can start a new one.
check-unclear = An administrator is checking this payment.

credited = ✅ <b>{ $amount } added</b>

    💰 Your balance: { $balance }
credited-debt = { $debt } of it settled your debt.
credited-waits = Your order is waiting: { $title }
button-continue = ▶️ Continue the order · { $price }
payment-canceled = The top-up of { $amount } did not go through: { $why }
cancel-reason-expired = the time to pay ran out.
cancel-reason-funds = there was not enough money on the card.
cancel-reason-card = the bank or the card refused it. Try another card.
cancel-reason-fraud = the bank found it suspicious. Try another card.
cancel-reason-other = the payment service cancelled it.
took-back = A payment went back the way it came: { $amount } taken from your balance.
took-back-owed = A payment went back the way it came: { $amount }. Your balance had less, so there is a debt of { $owed }.
granted = 🎁 You received { $amount }. Your balance: { $balance }
compensated-undelivered = 💰 { $amount } is back: we could not hand the result over to you.
compensated-admin = 💰 { $amount } is back for the order “{ $title }”.

payment-description = Balance top-up of { $sum }
