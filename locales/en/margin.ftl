# What orders bring and what providers take: what administrators read.

# --- the margin ---------------------------------------------------------------------------------------
command-margin = The margin by model and day
margin-usage = Like this: /margin or /margin 30 (how many days, up to { $days })
margin-none = No orders in { $days ->
    [one] { $days } day
   *[other] { $days } days
 }.
margin = 📈 <b>The margin of { $days ->
    [one] { $days } day
   *[other] { $days } days
 }</b> (a dollar at { $rate })
margin-total = In all
margin-by-model =
    {""}
    <b>By model</b>
margin-by-day =
    {""}
    <b>By day of the order</b>
margin-line = { $name }: { $orders ->
    [one] { $orders } order
   *[other] { $orders } orders
 }, { $charged } − { $cost } = <b>{ $margin }</b>{ $share }
margin-share = {" "}({ $percent } %)
margin-lost = ⚠️ At your own cost: { $count ->
    [one] { $count } order
   *[other] { $count } orders
 } (the provider did it, the person did not pay)
margin-open = Still being made: { $count ->
    [one] { $count } order
   *[other] { $count } orders
 }
