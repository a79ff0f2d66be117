# Texts that every part of the bot may need.

# --- errors ---------------------------------------------------------------------------------------
error-unexpected = Something went wrong. The error has been logged. Your money is safe: you only pay for finished results.
error-try-again = That didn’t work. Please try again in a minute.
error-stale-button = This button no longer works. Start again: /start
error-not-understood = Sorry, I didn’t understand that. Describe what to draw, or tap /start
error-maintenance = Maintenance is in progress. New orders are paused and will be back soon. Orders in progress will be finished.
error-enough-for-today = The limit for today is reached. New orders will be accepted tomorrow. Your money is safe, and orders in progress will be finished.
error-rate-limited = Too many requests. Please wait { $seconds ->
    [one] { $seconds } second
   *[other] { $seconds } seconds
 } and try again.
error-too-many-jobs = You already have { $count ->
    [one] { $count } order
   *[other] { $count } orders
 } in progress. You can start a new one when one of them is done.

# --- amounts of things ----------------------------------------------------------------------------
count-seconds = { $count ->
    [one] { $count } second
   *[other] { $count } seconds
}
count-minutes = { $count ->
    [one] { $count } minute
   *[other] { $count } minutes
}
count-days = { $count ->
    [one] { $count } day
   *[other] { $count } days
}
count-pictures = { $count ->
    [one] { $count } picture
   *[other] { $count } pictures
}
count-clips = { $count ->
    [one] { $count } clip
   *[other] { $count } clips
}
