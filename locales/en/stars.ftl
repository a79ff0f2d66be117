# Payment in Telegram Stars, and the commands that Telegram requires of sellers.

button-stars = { $amount } for ⭐ { $stars }
topup-stars = 
    ➕ <b>Top up</b>

    Your balance: { $balance }. You pay in Telegram Stars, once. No subscriptions.
stars-title = Top-up of { $sum }
stars-description = Money on your balance for pictures and clips. It arrives right after payment.
stars-not-yours = This invoice isn’t yours. Open /topup and choose an amount.
stars-stale = This invoice is out of date or already paid. Open /topup for a new one.
support-usage = 💬 A question about a payment? Send it in one message: /paysupport when, how much and what happened. The bot’s admin will reply.
support-sent = ✅ Your question has been sent to the admin. All transactions are in /balance.
support-nobody = 😔 Questions can’t be sent right now: no admin is set up for this bot. All transactions are in /balance.
alert-support = 💬 Question about a payment from <code>{ $user }</code>: { $text }
terms = 📄 <b>Terms of service.</b> A top-up goes to your balance in rubles and is only spent on finished results. If there is no result, the money returns to your balance. Unspent money can be refunded to where it came from: write to /paysupport. There are no subscriptions and no automatic charges.
command-paysupport = Ask about a payment
command-terms = Terms of service
