# Revenue from orders less the costs of providers: what admins read.

# --- the margin ---------------------------------------------------------------------------------------
command-margin = Margin by model and day
margin-usage = Usage: /margin or /margin 30 (number of days, up to { $days })
margin-none = No orders in { $days ->
    [one] { $days } day
   *[other] { $days } days
 }.
margin = 📈 <b>Margin for { $days ->
    [one] { $days } day
   *[other] { $days } days
 }</b> ($1 = { $rate })
margin-total = Total
margin-by-model =
    {""}
    <b>By model</b>
margin-by-day =
    {""}
    <b>By order date</b>
margin-line = { $name }: { $orders ->
    [one] { $orders } order
   *[other] { $orders } orders
 }, { $charged } − { $cost } = <b>{ $margin }</b>{ $share }
margin-share = {" "}({ $percent } %)
margin-lost = ⚠️ Made but not charged: { $count ->
    [one] { $count } order
   *[other] { $count } orders
 } (the provider did the work, the user did not pay)
margin-open = Still in progress: { $count ->
    [one] { $count } order
   *[other] { $count } orders
 }
