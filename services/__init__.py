"""Use cases and outside systems: what the bot does, without Telegram's screens and without SQL."""
