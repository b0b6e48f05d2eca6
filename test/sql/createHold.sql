-- prepared: find_secrets, see getMe.sql

-- prepared: move_unlocked_credits, see addCredits.sql
