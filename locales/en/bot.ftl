# The bot itself: greeting, menu, help, language, what it does not understand.

# --- main menu (the keyboard under the field) -------------------------------------------------------
menu-image = 🎨 Picture
menu-video = 🎬 Clip
menu-balance = 💰 Balance
menu-history = 🗂 History
menu-help = ❓ Help
menu-placeholder = What shall I draw?

# --- start ------------------------------------------------------------------------------------------
welcome = 👋 Hello, { $name }! I draw pictures, edit photos and film short clips from your words.
welcome-anonymous = 👋 Hello! I draw pictures, edit photos and film short clips from your words.
start =
    <b>Tell me what to draw</b>, or send a photo.

    🎨 a picture — from { $image }
    🎬 a clip — from { $clip }
    💰 your balance — <b>{ $balance }</b>

    You pay only for a finished result.
start-image-only =
    <b>Tell me what to draw</b>, or send a photo.

    🎨 a picture — from { $image }
    💰 your balance — <b>{ $balance }</b>

    You pay only for a finished result.
start-clip-only =
    <b>Describe a clip</b>, or send a photo to bring to life.

    🎬 a clip — from { $clip }
    💰 your balance — <b>{ $balance }</b>

    You pay only for a finished result.
start-off =
    Everything is switched off for now. We will be back soon.

    💰 your balance — <b>{ $balance }</b>
button-image = 🎨 Picture
button-video = 🎬 Clip
sample-1-title = 🦊 A fox on the Moon
sample-1 = A red fox in a spacesuit sits on the rim of a lunar crater and looks at the Earth, soft light, photorealistic
sample-2-title = 🏙 London 2125
sample-2 = London in 2125 at sunset: glass towers, roof gardens, flying trams above the river, cinematic
sample-3-title = ☕️ A cosy café
sample-3 = A cosy café on a rainy evening, warm light from the window, reflections on the pavement, watercolour

ask-image = 🎨 What shall I draw? Say who or what, where, and in which style. Or send a photo with a caption that says what to change.
ask-video = 🎬 What shall I film? Describe the scene and the movement. Or send a photo and I will bring it to life.

# --- help -------------------------------------------------------------------------------------------
help =
    <b>How it works</b>

    🎨 <b>A picture.</b> Say what to draw, check the price and press “Create”.
    ✏️ <b>A photo edited.</b> Send a photo and say what to change. Several photos at once are fine. For the best quality send it as a file.
    🎬 <b>A clip.</b> Describe the scene, or send a photo and press “Animate”.

    💰 The price is always on the button. While we work the sum is held. If it does not work out, it returns to your balance at once.
    🔁 Under each result there are buttons: repeat, edit, animate.

    /image — a picture
    /video — a clip
    /balance — balance and all operations
    /topup — top up
    /history — what was made
    /cancel — cancel
    /language — language
    /paysupport — a question about a payment
    /terms — terms

# --- language ---------------------------------------------------------------------------------------
language-ask = Which language shall we speak?
language-chosen = Done, we speak English now.

# --- commands (the list in Telegram's menu; no markup) ------------------------------------------------
command-start = Start
command-image = Draw a picture
command-video = Film a clip
command-balance = Balance and operations
command-topup = Top up the balance
command-history = What was made
command-language = Language
command-cancel = Cancel
command-help = How it works

# --- politeness ---------------------------------------------------------------------------------------
banned = You have no access to this bot. If that is a mistake, write to its owner.
private-only = I work in a private chat: open it and write to me there.
private-only-button = Open the private chat
unknown-command = There is no such command. All commands: /help
unsupported-sticker = Nice sticker! But I draw from words or photos: tell me what to make.
unsupported-voice = I do not understand voice messages yet. Please type it.
unsupported-video = I cannot work with videos yet. Send a photo, or describe the clip in words.
unsupported-audio = I do not work with music yet. Tell me what to draw.
unsupported-location = A fine place, but I draw from words: tell me what should be there.
unsupported-contact = I need nobody’s contacts. Tell me what to draw.
unsupported-file = This is not a picture. Send a JPEG, PNG or WEBP, also as a file.
unsupported-other = I do not understand such messages. Tell me what to draw, or send a photo.

error-incident = Something went wrong, and we are looking into it. Your money is safe: we charge only for a finished result. Incident: <code>{ $incident }</code>
error-incident-plain = Something went wrong, and we are looking into it. Your money is safe. Incident: { $incident }

nothing-to-cancel = There is nothing to cancel.
cancelled-draft = All right, forgotten. Write when you want something else drawn.
open-jobs-title = In the making now:
open-job-waiting = • { $title } — waits in the queue, can be cancelled
open-job-running = • { $title } — is being made: it cannot be cancelled; if it fails, the money comes back
