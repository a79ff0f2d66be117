# Receipts: where they go.

email-needed = A receipt needs your e-mail: send /email
email-ask = 🧾 Where shall the receipt go? The law wants one for each payment. Type your e-mail, we ask only once.
email-change = 🧾 Receipts go to <code>{ $email }</code>. Type a new address, or /email off to have it forgotten.
email-bad = This does not look like an e-mail. Type all of it, such as anna@example.org
email-kept = ✅ Receipts will go to <code>{ $email }</code>. To change it: /email
email-forgotten = The address is forgotten.
email-not-needed = No e-mail is needed: this shop sends no receipts.
