"""A database as version 1.3 left it."""

from __future__ import annotations

VERSION_1_3 = """
    CREATE TABLE users (user_id INTEGER PRIMARY KEY, username TEXT, first_name TEXT, is_banned INTEGER DEFAULT 0,
                        referrer INTEGER, created_at TEXT);
    CREATE TABLE wallets (user_id INTEGER PRIMARY KEY REFERENCES users(user_id), balance REAL NOT NULL DEFAULT 0,
                          updated_at TEXT);
    CREATE TABLE payments (payment_id TEXT PRIMARY KEY, user_id INTEGER, amount REAL, status TEXT, created_at TEXT,
                           description TEXT);
    CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER REFERENCES users(user_id), kind TEXT,
                       prompt TEXT, status TEXT, created_at TEXT);
    CREATE INDEX ix_payments_user_id ON payments(user_id);
    CREATE TRIGGER payments_stay BEFORE DELETE ON payments BEGIN SELECT RAISE(IGNORE); END;
    INSERT INTO users VALUES (1, 'anna', 'Anna', 0, NULL, '2026-02-11 10:00:00'), (2, NULL, 'Boris', 1, 1, NULL);
    INSERT INTO wallets VALUES (1, 150.75, '2026-02-11'), (2, 0.30000000000000004, NULL), (3, -20.5, NULL),
                               (4, 0, NULL);
    INSERT INTO payments VALUES
        ('2d-paid', 1, 100, 'succeeded', '2026-02-11 10:00:00', 'top-up'), ('2d-wait', 1, 50.5, 'pending', NULL, NULL),
        ('2d-gone', 2, 70, 'canceled', NULL, NULL), ('2d-back', 2, 30, 'refunded', NULL, NULL),
        ('2d-what', 5, 10, 'strange', NULL, NULL);
    INSERT INTO jobs (user_id, kind, prompt, status, created_at) VALUES
        (1, 'image', 'a cat', 'done', '2026-02-11T12:00:00+03:00'), (1, 'kling_video', 'a dog', 'processing', NULL),
        (2, 'edit', NULL, 'error', '1770800000'), (6, 'animate', 'a fox', 'queued', NULL);
"""
