# The daily audit of the books: what administrators read.

audit-sound =
    ✅ <b>Книги сходятся</b> ({ $when })

    Операций: { $entries }
    На балансах: { $balances }, отложено: { $held }
    Проверка заняла { $seconds } с

    Печать от { $sealed } (печатей: { $seals }, последняя операция № { $upto }, ещё не запечатано: { $unsealed }):
    <code>{ $head }</code>
    Не удаляйте это сообщение: по печати видно, что прошлое никто не переписал.
audit-broken =
    🚨 <b>Книги не сходятся</b> ({ $when })

    { $broken }

    Что делать: /maintenance on, потом «Книги не сходятся» в RUNBOOK.ru.md. Подробности: <code>python main.py audit</code>

    Операций: { $entries }
    На балансах: { $balances }, отложено: { $held }
    Проверка заняла { $seconds } с

    Печать от { $sealed } (печатей: { $seals }, последняя операция № { $upto }, ещё не запечатано: { $unsealed }):
    <code>{ $head }</code>
audit-broken-line = • <b>{ $rule }</b>: { $what } (<code>{ $rows }</code>)
audit-rule-i1 = баланс ушёл ниже нуля или рядом с долгом лежат деньги
audit-rule-i2 = деньги заказа не сходятся с его ценой или итогом
audit-rule-i3 = платёж зачислен не один раз или возврат не учтён
audit-rule-i4 = прошлое в журнале операций меняли, или сняли его защиту
audit-rule-i5 = балансы не равны сумме операций
audit-rule-i6 = за открытым заказом или отложенными деньгами никто не смотрит
audit-rule-i7 = поставщика вызвали чаще, чем можно
audit-rule-i8 = готовый заказ не доставлен, и деньги за него не вернули
audit-rule-i9 = в записях для людей или журналов есть секрет, трассировка или чужой заказ
audit-rule-file = файл базы повреждён
