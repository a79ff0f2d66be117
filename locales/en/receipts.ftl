# Receipts and the email address they go to.

email-needed = A receipt needs your email. Send /email
email-ask = 🧾 What email should the receipts go to? The law requires a receipt for each payment. Enter your email; you’ll only be asked once.
email-change = 🧾 Receipts go to <code>{ $email }</code>. Enter a new email, or send /email off to delete it.
email-bad = That doesn’t look like an email. Enter the full address, such as anna@example.org
email-kept = ✅ Receipts will go to <code>{ $email }</code>. To change it: /email
email-forgotten = Your email has been deleted.
email-not-needed = No email is needed: this bot doesn’t send receipts.
