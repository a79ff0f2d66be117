# Revenue from orders less the costs of providers: what admins read.

# --- the margin ---------------------------------------------------------------------------------------
command-margin = Маржа по моделям и дням
margin-usage = Так: /margin или /margin 30 (за сколько дней, до { $days })
margin-none = За { $days ->
    [one] { $days } день
    [few] { $days } дня
    [many] { $days } дней
   *[other] { $days } дня
 } заказов не было.
margin = 📈 <b>Маржа за { $days ->
    [one] { $days } день
    [few] { $days } дня
    [many] { $days } дней
   *[other] { $days } дня
 }</b> (доллар по { $rate })
margin-total = Всего
margin-by-model =
    {""}
    <b>По моделям</b>
margin-by-day =
    {""}
    <b>По дням заказа</b>
margin-line = { $name }: { $orders ->
    [one] { $orders } заказ
    [few] { $orders } заказа
    [many] { $orders } заказов
   *[other] { $orders } заказа
 }, { $charged } − { $cost } = <b>{ $margin }</b>{ $share }
margin-share = {" "}({ $percent } %)
margin-lost = ⚠️ За свой счёт: { $count ->
    [one] { $count } заказ
    [few] { $count } заказа
    [many] { $count } заказов
   *[other] { $count } заказа
 } (поставщик работу сделал, пользователь не заплатил)
margin-open = Ещё в работе: { $count ->
    [one] { $count } заказ
    [few] { $count } заказа
    [many] { $count } заказов
   *[other] { $count } заказа
 }
