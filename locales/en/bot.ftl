# Greeting, menu, help, language, and messages that the bot cannot use.

# --- main menu (the keyboard under the field) -------------------------------------------------------
# Keep these labels: people have keyboards with them, and an unknown label would be taken for a description.
menu-image = 🎨 Picture
menu-video = 🎬 Clip
menu-balance = 💰 Balance
menu-history = 🗂 History
menu-help = ❓ Help
menu-placeholder = Describe your picture

# --- start ------------------------------------------------------------------------------------------
welcome = 👋 Hi, { $name }! I draw pictures, edit photos and make short clips from your words.
welcome-anonymous = 👋 Hi! I draw pictures, edit photos and make short clips from your words.
start =
    <b>Describe a picture</b> or send a photo.

    🎨 picture — from { $image }
    🎬 clip — from { $clip }
    💰 your balance — <b>{ $balance }</b>

    You only pay for finished results.
start-image-only =
    <b>Describe a picture</b> or send a photo.

    🎨 picture — from { $image }
    💰 your balance — <b>{ $balance }</b>

    You only pay for finished results.
start-clip-only =
    <b>Describe a clip</b> or send a photo to animate.

    🎬 clip — from { $clip }
    💰 your balance — <b>{ $balance }</b>

    You only pay for finished results.
start-off =
    Pictures and clips are unavailable right now. Please come back later.

    💰 your balance — <b>{ $balance }</b>
button-image = 🎨 Picture
button-video = 🎬 Clip
sample-1-title = 🦊 A fox on the Moon
sample-1 = A red fox in a spacesuit sits on the rim of a lunar crater and looks at the Earth, soft light, photorealistic
sample-2-title = 🏙 London 2125
sample-2 = London in 2125 at sunset: glass towers, roof gardens, flying trams above the river, cinematic
sample-3-title = ☕️ A cosy café
sample-3 = A cosy café on a rainy evening, warm light from the window, reflections on the pavement, watercolour

ask-image = 🎨 What should I draw? Describe the subject, the place and the style. Or send a photo with a caption that says what to change.
ask-video = 🎬 What should happen in the clip? Describe the scene and the movement. Or send a photo to animate.

# --- help -------------------------------------------------------------------------------------------
help =
    <b>How it works</b>

    🎨 <b>Pictures.</b> Describe the picture, check the price and tap “Create”.
    ✏️ <b>Photo edits.</b> Send one or more photos and say what to change. For the best quality, send them as files.
    🎬 <b>Clips.</b> Describe the scene, or send a photo and tap “Animate”.

    💰 The price is always on the button. While your order is in progress, the amount is on hold. If the order fails, the money returns to your balance right away.
    🔁 Use the buttons under a result to repeat, edit or animate it.

    /image — create a picture
    /video — create a clip
    /balance — balance and transactions
    /topup — top up your balance
    /history — your past orders
    /cancel — cancel
    /language — change the language
    /paysupport — ask about a payment
    /terms — terms of service

# --- language ---------------------------------------------------------------------------------------
language-ask = Choose a language:
language-chosen = Language set to English.

# --- commands (the list in Telegram's menu; no markup) ------------------------------------------------
command-start = Start
command-image = Create a picture
command-video = Create a clip
command-balance = Balance and transactions
command-topup = Top up your balance
command-history = Your past orders
command-language = Change the language
command-cancel = Cancel
command-help = How it works

# --- what the bot cannot use ---------------------------------------------------------------------------
banned = You don’t have access to this bot. If this is a mistake, contact the bot’s admin.
private-only = I only work in private chats. Open one and write to me there.
private-only-button = Open a private chat
unknown-command = Unknown command. All commands: /help
unsupported-sticker = Nice sticker! But I need words or a photo. Describe what to draw.
unsupported-voice = Voice messages aren’t supported yet. Please type your message.
unsupported-video = Videos aren’t supported yet. Send a photo or describe the clip.
unsupported-audio = Music isn’t supported yet. Describe what to draw.
unsupported-location = Locations aren’t supported yet. Describe the place in words.
unsupported-contact = Contacts aren’t supported. Describe what to draw.
unsupported-file = This isn’t a picture. Send a JPEG, PNG or WEBP. Files work too.
unsupported-other = This kind of message isn’t supported. Describe what to draw, or send a photo.

error-incident = Something went wrong. The error has been logged. Your money is safe: you only pay for finished results. Error number: <code>{ $incident }</code>
error-incident-plain = Something went wrong. The error has been logged, and your money is safe. Error number: { $incident }

nothing-to-cancel = There is nothing to cancel.
cancelled-draft = Cancelled. Send a new description whenever you like.
open-jobs-title = In progress now:
open-job-waiting = • { $title } — in the queue, can be cancelled
open-job-running = • { $title } — in progress, can’t be cancelled. If it fails, the money returns to your balance
