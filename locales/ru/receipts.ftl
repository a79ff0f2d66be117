# Receipts and the email address they go to.

email-needed = Для чека нужна ваша почта: отправьте /email
email-ask = 🧾 На какую почту присылать чеки? По закону чек нужен к каждому платежу. Напишите адрес, это нужно только один раз.
email-change = 🧾 Чеки приходят на <code>{ $email }</code>. Напишите новый адрес или /email off, чтобы удалить этот.
email-bad = Не похоже на адрес почты. Напишите его целиком, например anna@example.org
email-kept = ✅ Чеки будут приходить на <code>{ $email }</code>. Изменить: /email
email-forgotten = Адрес удалён.
email-not-needed = Почта не нужна: этот бот чеков не присылает.
