# Words and sentences that every part of the bot may need.

# --- errors ---------------------------------------------------------------------------------------
error-unexpected = Something went wrong, and we are looking into it. Your money is safe: we charge only for a finished result.
error-try-again = That did not work. Please try again in a minute.
error-stale-button = This button no longer works. Start again: /start
error-not-understood = I did not get that. Tell me what to draw, or press /start
error-maintenance = We are doing maintenance and will be back soon. No new orders for now; the ones you started will be finished.
error-enough-for-today = We are fully booked for today and take new orders tomorrow. Your money is untouched; the orders you started will be finished.
error-rate-limited = That is too fast. Please wait { $seconds ->
    [one] { $seconds } second
   *[other] { $seconds } seconds
 } and go on.
error-too-many-jobs = We are already making { $count ->
    [one] { $count } order
   *[other] { $count } orders
 } for you. You can start another as soon as one is done.

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
