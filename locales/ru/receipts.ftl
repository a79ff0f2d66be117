# Receipts: where they go.

email-needed = Для чека нужна ваша почта: отправьте /email
email-ask = 🧾 На какую почту прислать чек? По закону он нужен к каждому платежу. Напишите адрес, спросим один раз.
email-change = 🧾 Чеки приходят на <code>{ $email }</code>. Напишите новый адрес или /email off, чтобы мы его забыли.
email-bad = Не похоже на адрес почты. Напишите его целиком, например anna@example.org
email-kept = ✅ Чеки будут приходить на <code>{ $email }</code>. Изменить: /email
email-forgotten = Адрес забыли.
email-not-needed = Почта не нужна: чеков этот магазин не присылает.
