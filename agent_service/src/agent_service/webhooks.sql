-- Statements on the outbox of webhooks.

-- name: insert
INSERT INTO webhooks (webhook_id, run_id, sequence, url, body)
VALUES (%(webhook_id)s, %(run_id)s, %(sequence)s, %(url)s, %(body)s)
RETURNING pg_notify('mandate_webhooks', '')

-- name: take
UPDATE webhooks SET attempts = attempts + 1, next_attempt_at = now() + %(hold)s
WHERE webhook_id IN (
    SELECT webhook_id FROM webhooks
    WHERE delivered_at IS NULL AND abandoned_at IS NULL AND next_attempt_at <= now()
    ORDER BY next_attempt_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING webhook_id, run_id, url, body, attempts

-- name: until_next
SELECT min(next_attempt_at) - now() AS delay FROM webhooks
WHERE delivered_at IS NULL AND abandoned_at IS NULL

-- name: delivered
UPDATE webhooks SET delivered_at = now(), last_answer = %(answer)s WHERE webhook_id = %(webhook_id)s

-- name: postpone
UPDATE webhooks SET next_attempt_at = now() + %(delay)s, last_answer = %(answer)s
WHERE webhook_id = %(webhook_id)s

-- name: abandon
UPDATE webhooks SET abandoned_at = now(), last_answer = %(answer)s WHERE webhook_id = %(webhook_id)s
