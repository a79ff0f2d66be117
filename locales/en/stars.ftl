# Paying in Telegram Stars, and the commands that Telegram wants of who sells.

button-stars = { $amount } for ⭐ { $stars }
topup-stars = 
    ➕ <b>Top up</b>

    The balance is { $balance }. You pay with Telegram Stars, once.
stars-title = Top-up of { $sum }
stars-description = Money on the bot’s balance for pictures and clips. It comes right after paying.
stars-not-yours = This invoice is not yours. Open /topup and choose a sum.
stars-stale = This invoice is out of date or paid already. Open /topup for a new one.
support-usage = 💬 A question about a payment? Write it in one line: /paysupport when, how much and what happened. The owner of the bot will answer.
support-sent = ✅ The owner has it. /balance shows every operation.
support-nobody = 😔 There is nobody to pass this on to: the owner of the bot has not said whom to write to. /balance shows every operation.
alert-support = 💬 A question about a payment from <code>{ $user }</code>: { $text }
terms = 📄 <b>Terms.</b> A top-up goes to your balance in rubles and is spent on finished results only. When nothing came of it, the money is back on the balance. What is not spent we return to where it came from: write /paysupport. There are no subscriptions.
command-paysupport = A question about a payment
command-terms = Terms
