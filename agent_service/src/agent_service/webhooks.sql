-- Statements on the outbox of webhooks.

-- name: take
UPDATE webhooks SET attempts = attempts + 1, next_attempt_at = now() + %(hold)s
WHERE webhook_id IN (
    SELECT webhook_id FROM webhooks
    WHERE delivered_at IS NULL AND abandoned_at IS NULL AND next_attempt_at <= now()
        AND NOT EXISTS (
            SELECT FROM webhook_addresses AS address
            WHERE address.url = webhooks.url AND address.resting_until > now()
        )
    ORDER BY next_attempt_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING webhook_id, run_id, url, body, attempts, clock_timestamp() AS taken_at

-- name: until_next
SELECT min(greatest(next_attempt_at, resting_until)) - now() AS delay
FROM webhooks LEFT JOIN webhook_addresses USING (url)
WHERE delivered_at IS NULL AND abandoned_at IS NULL

-- name: note
INSERT INTO webhook_attempts (webhook_id, attempt, answer, taken)
VALUES (%(webhook_id)s, %(attempt)s, %(answer)s, %(taken)s)

-- name: delivered
UPDATE webhooks SET delivered_at = now(), last_answer = %(answer)s WHERE webhook_id = %(webhook_id)s

-- name: postpone
UPDATE webhooks SET next_attempt_at = now() + %(delay)s, last_answer = %(answer)s
WHERE webhook_id = %(webhook_id)s

-- name: abandon
UPDATE webhooks SET abandoned_at = now(), last_answer = %(answer)s WHERE webhook_id = %(webhook_id)s

-- name: address_answers
DELETE FROM webhook_addresses WHERE url = %(url)s

-- name: address_fails
INSERT INTO webhook_addresses AS address (url, failures, resting_until) VALUES (%(url)s, 1, clock_timestamp())
ON CONFLICT (url) DO UPDATE SET
    failures = address.failures + 1,
    resting_until = CASE
        WHEN address.failures + 1 < %(patience)s THEN clock_timestamp()
        ELSE now() + least(%(rest)s * power(2, least(address.failures + 1 - %(patience)s, 20)), %(longest)s)
    END
-- Attempts at the same time fail for the same reason: they count as one.
WHERE address.resting_until < %(taken_at)s

-- name: list
SELECT
    webhook_id, run_id, url, attempts, created_at, next_attempt_at, delivered_at, abandoned_at,
    (
        SELECT coalesce(array_agg(answer ORDER BY made_at), '{}') FROM webhook_attempts
        WHERE webhook_attempts.webhook_id = webhooks.webhook_id
    ) AS answers
FROM webhooks
WHERE NOT %(open_only)s OR delivered_at IS NULL
ORDER BY created_at DESC
LIMIT %(limit)s

-- name: redeliver
WITH again AS (
    UPDATE webhooks
    SET attempts = 0, next_attempt_at = now(), delivered_at = NULL, abandoned_at = NULL
    WHERE webhook_id = ANY(%(webhook_ids)s) OR (%(all_abandoned)s AND abandoned_at IS NOT NULL)
    RETURNING webhook_id, url
), woken AS (
    DELETE FROM webhook_addresses USING again WHERE webhook_addresses.url = again.url
)
SELECT webhook_id, pg_notify('mandate_webhooks', '') FROM again
