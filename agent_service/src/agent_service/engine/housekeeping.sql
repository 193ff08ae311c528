-- Statements of housekeeping: each takes one batch, and says how large it was.

-- name: events
WITH due AS (
    UPDATE runs SET events_swept = true
    WHERE run_id IN (
        SELECT run_id FROM runs
        WHERE NOT events_swept AND ended_at < now() - %(age)s
        ORDER BY ended_at
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    )
    RETURNING run_id
), swept AS (
    -- The last one stays, so that a reader who comes late still sees that there is nothing more.
    DELETE FROM run_events USING due WHERE run_events.run_id = due.run_id AND run_events.event <> 'end'
)
SELECT count(*) AS done FROM due

-- name: results
WITH gone AS (
    DELETE FROM run_results
    WHERE run_id IN (SELECT run_id FROM run_results WHERE created_at < now() - %(age)s LIMIT %(limit)s)
    RETURNING run_id
), swept AS (
    -- Of runs that went with their threads.
    DELETE FROM run_events USING gone
    WHERE run_events.run_id = gone.run_id
        AND NOT EXISTS (SELECT FROM runs WHERE runs.run_id = gone.run_id)
)
SELECT count(*) AS done FROM gone

-- name: webhooks
WITH gone AS (
    DELETE FROM webhooks
    WHERE webhook_id IN (
        SELECT webhook_id FROM webhooks
        WHERE coalesce(delivered_at, abandoned_at) < now() - %(age)s
        LIMIT %(limit)s
    )
    RETURNING webhook_id
)
SELECT count(*) AS done FROM gone

-- name: jobs
WITH gone AS (
    DELETE FROM pgqueuer_log
    WHERE id IN (
        SELECT id FROM pgqueuer_log WHERE created < now() - %(age)s LIMIT %(limit)s
    )
    RETURNING id
)
SELECT count(*) AS done FROM gone

-- name: expired_threads
SELECT thread_id, ttl_strategy FROM threads
WHERE expires_at <= now() AND status <> 'busy'
ORDER BY expires_at
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: drop_thread
WITH ended AS (
    SELECT run_id FROM runs WHERE thread_id = %(thread_id)s
), events AS (
    DELETE FROM run_events USING ended WHERE run_events.run_id = ended.run_id
), results AS (
    DELETE FROM run_results USING ended WHERE run_results.run_id = ended.run_id
)
DELETE FROM threads WHERE thread_id = %(thread_id)s

-- name: renew_thread
UPDATE threads SET expires_at = now() + ttl, pruned_at = now() WHERE thread_id = %(thread_id)s

-- name: old_threads
UPDATE threads SET pruned_at = now()
WHERE thread_id IN (
    SELECT thread_id FROM threads
    WHERE (pruned_at IS NULL OR pruned_at < state_updated_at)
        AND state_updated_at < now() - %(age)s
        AND status <> 'busy'
    ORDER BY state_updated_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING thread_id
