# The daily audit of the books: what admins read.

audit-sound =
    ✅ <b>Учёт сходится</b> ({ $when })

    Операций: { $entries }
    На балансах: { $balances }, отложено: { $held }
    Проверка заняла { $seconds } с

    Печать от { $sealed } (печатей: { $seals }, последняя операция № { $upto }, ещё не запечатано: { $unsealed }):
    <code>{ $head }</code>
    Не удаляйте это сообщение: по печати видно, что прошлые операции никто не менял.
audit-broken =
    🚨 <b>Учёт не сходится</b> ({ $when })

    { $broken }

    Что делать: /maintenance on, потом «The books do not balance» в RUNBOOK.md. Подробности: <code>python main.py audit</code>

    Операций: { $entries }
    На балансах: { $balances }, отложено: { $held }
    Проверка заняла { $seconds } с

    Печать от { $sealed } (печатей: { $seals }, последняя операция № { $upto }, ещё не запечатано: { $unsealed }):
    <code>{ $head }</code>
audit-broken-line = • <b>{ $rule }</b>: { $what } (<code>{ $rows }</code>)
audit-rule-i1 = баланс ниже нуля или при долге на балансе есть деньги
audit-rule-i2 = деньги заказа не сходятся с его ценой или итогом
audit-rule-i3 = платёж зачислен не один раз или возврат не учтён
audit-rule-i4 = прошлые записи журнала операций изменены или снята их защита
audit-rule-i5 = балансы не равны сумме операций
audit-rule-i6 = открытым заказом или отложенными деньгами никто не занимается
audit-rule-i7 = поставщик вызван чаще, чем можно
audit-rule-i8 = готовый заказ не доставлен, и деньги за него не возвращены
audit-rule-i9 = в сообщениях или журналах есть секрет, трассировка или чужой заказ
audit-rule-file = файл базы повреждён
