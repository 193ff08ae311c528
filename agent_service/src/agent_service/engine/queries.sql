-- Statements on runs and threads. Whoever takes both kinds of rows locks the thread first.
-- {run} and {thread} are the columns that this release reads: a later one may add some while it works.

-- name: insert_thread
INSERT INTO threads (thread_id, owner, metadata, idempotency_key, body_digest)
VALUES (%(thread_id)s, %(owner)s, %(metadata)s, %(key)s, %(digest)s)
ON CONFLICT DO NOTHING
RETURNING {thread}

-- name: thread_by_key
SELECT {thread} FROM threads WHERE owner = %(owner)s AND idempotency_key = %(key)s

-- name: thread
SELECT {thread} FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s

-- name: lock_thread
WITH patience AS MATERIALIZED (SELECT be_brief())
SELECT {thread} FROM patience, threads WHERE thread_id = %(thread_id)s FOR UPDATE OF threads

-- name: threads
SELECT {thread} FROM threads
WHERE owner = %(owner)s
    AND metadata @> %(metadata)s
    AND (%(status)s::text IS NULL OR status = %(status)s)
ORDER BY updated_at DESC
LIMIT %(limit)s OFFSET %(offset)s

-- name: update_thread
UPDATE threads SET metadata = metadata || %(metadata)s, updated_at = now()
WHERE thread_id = %(thread_id)s AND owner = %(owner)s
RETURNING {thread}

-- name: occupy_thread
UPDATE threads
SET status = CASE WHEN %(scheduled)s THEN status ELSE 'busy' END,
    resting = CASE WHEN status = 'busy' THEN resting ELSE status END,
    metadata = metadata || %(metadata)s,
    mandated = mandated OR %(mandated)s,
    updated_at = now()
WHERE thread_id = %(thread_id)s
RETURNING pg_notify('mandate_threads', thread_id::text)

-- name: delete_thread
WITH events AS (
    DELETE FROM run_events USING runs
    WHERE run_events.run_id = runs.run_id AND runs.thread_id = %(thread_id)s
)
DELETE FROM threads WHERE thread_id = %(thread_id)s

-- name: insert_run
INSERT INTO runs (
    run_id, thread_id, assistant_id, graph_id, owner, payload, metadata, multitask_strategy, priority, lane,
    not_before, scheduled, webhook_url, idempotency_key, body_digest
)
VALUES (
    %(run_id)s, %(thread_id)s, %(assistant_id)s, %(graph_id)s, %(owner)s, %(payload)s, %(metadata)s,
    %(multitask_strategy)s, %(priority)s, %(lane)s, now() + %(after)s, %(scheduled)s, %(webhook_url)s, %(key)s, %(digest)s
)
RETURNING {run}

-- name: insert_thread_and_run
WITH thread AS (
    INSERT INTO threads (thread_id, owner, status, metadata, mandated)
    VALUES (
        %(thread_id)s, %(owner)s, CASE WHEN %(scheduled)s THEN 'idle' ELSE 'busy' END, %(about)s, %(mandated)s
    )
    ON CONFLICT DO NOTHING
    RETURNING thread_id
)
INSERT INTO runs (
    run_id, thread_id, assistant_id, graph_id, owner, payload, metadata, multitask_strategy, priority, lane,
    not_before, scheduled, webhook_url, idempotency_key, body_digest
)
SELECT
    %(run_id)s, thread_id, %(assistant_id)s, %(graph_id)s, %(owner)s, %(payload)s, %(metadata)s,
    %(multitask_strategy)s, %(priority)s, %(lane)s, now() + %(after)s, %(scheduled)s, %(webhook_url)s, %(key)s, %(digest)s
FROM thread
RETURNING {run}, pg_notify('mandate_threads', thread_id::text), enqueue_run(run_id, lane, priority, not_before)

-- name: enqueue_run
SELECT enqueue_run(%(run_id)s, %(lane)s, %(priority)s, %(due)s)

-- name: remove_job
DELETE FROM pgqueuer WHERE id = %(job_id)s AND queue_manager_id = %(manager_id)s

-- name: run_by_key
SELECT {run} FROM runs WHERE owner = %(owner)s AND idempotency_key = %(key)s

-- name: run
SELECT {run} FROM runs WHERE run_id = %(run_id)s AND thread_id = %(thread_id)s AND owner = %(owner)s

-- name: runs
SELECT {run} FROM runs
WHERE thread_id = %(thread_id)s AND (%(status)s::text IS NULL OR status = %(status)s)
ORDER BY ordinal DESC
LIMIT %(limit)s OFFSET %(offset)s

-- name: unfinished_runs
SELECT {run} FROM runs
WHERE thread_id = %(thread_id)s AND status IN ('pending', 'running')
ORDER BY ordinal

-- name: contenders
SELECT {run} FROM runs
WHERE thread_id = %(thread_id)s AND status IN ('pending', 'running') AND NOT scheduled
ORDER BY ordinal

-- name: unfinished_of
SELECT runs.run_id, runs.thread_id FROM runs JOIN threads USING (thread_id)
WHERE runs.owner = %(owner)s
    AND runs.status = ANY(%(statuses)s)
    AND (%(thread_id)s::uuid IS NULL OR runs.thread_id = %(thread_id)s)
    AND NOT (threads.mandated AND %(by_person)s)
ORDER BY runs.ordinal DESC

-- name: come_due
UPDATE runs SET scheduled = false, ordinal = DEFAULT, updated_at = now()
WHERE run_id = %(run_id)s AND status = 'pending' AND scheduled
RETURNING {run}

-- name: scheduled_run
SELECT thread_id FROM runs WHERE run_id = %(run_id)s AND status = 'pending' AND scheduled

-- name: ask_to_cancel
UPDATE runs
SET cancel_action = CASE WHEN cancel_action = 'rollback' THEN cancel_action ELSE %(action)s END,
    updated_at = now()
WHERE run_id = %(run_id)s AND status = 'running'
RETURNING {run}, pg_notify('mandate_cancels', run_id::text) AS notified

-- name: unwanted
SELECT run_id FROM runs WHERE run_id = ANY(%(run_ids)s) AND status = 'running' AND cancel_action IS NOT NULL

-- name: still_pending
SELECT FROM runs WHERE run_id = %(run_id)s AND status = 'pending' FOR UPDATE

-- name: cancel_pending
UPDATE runs
SET status = 'interrupted', cancel_action = %(action)s, updated_at = now(), ended_at = now()
WHERE run_id = %(run_id)s AND status = 'pending'
RETURNING {run}

-- name: leave_run
SELECT leave_run(
    runs, %(resting)s, %(values)s::jsonb, %(interrupts)s::jsonb, %(events)s::json, %(created_at)s, %(wakes)s,
    %(told)s, %(webhook)s
) FROM runs WHERE run_id = %(run_id)s

-- name: claim_run
SELECT {run}, runs.worked, epoch_before, rested, last_seq, is_blank
FROM claim_run(%(run_id)s, %(worker)s, %(prompts)s) AS taken CROSS JOIN LATERAL (SELECT (held).*) AS runs

-- name: release_run
UPDATE runs
SET status = 'pending', attempt = attempt - 1, worker = NULL, usage = %(usage)s, updated_at = now(),
    worked = worked + coalesce(now() - claimed_at, '0')
WHERE run_id = %(run_id)s AND epoch = %(epoch)s AND status = 'running'
RETURNING {run}

-- name: postpone_run
UPDATE runs
SET status = 'pending', worker = NULL, usage = %(usage)s, updated_at = now(),
    worked = worked + coalesce(now() - claimed_at, '0'),
    not_before = CASE WHEN cancel_action IS NULL THEN now() + %(pause)s ELSE now() END
WHERE run_id = %(run_id)s AND epoch = %(epoch)s AND status = 'running'
RETURNING {run}

-- name: keep_usage
UPDATE runs SET usage = %(usage)s, updated_at = now()
WHERE run_id = %(run_id)s AND epoch = %(epoch)s AND status = 'running'
RETURNING run_id

-- name: keep_command
UPDATE runs SET payload = %(payload)s, updated_at = now()
WHERE run_id = %(run_id)s AND epoch = %(epoch)s AND status = 'running'
RETURNING run_id

-- name: end_run
SELECT end_run(
    %(run_id)s, %(epoch)s, %(thread_id)s, %(status)s, %(error)s, %(usage)s, %(resting)s, %(values)s::jsonb,
    %(interrupts)s::jsonb, %(events)s::json, %(created_at)s, %(wakes)s, %(told)s, %(webhook)s, %(job_id)s,
    %(manager_id)s
) AS ended_at

-- name: hold_unwanted
SELECT {run} FROM runs WHERE run_id = %(run_id)s AND epoch = %(epoch)s AND status = 'running' FOR UPDATE

-- name: result
SELECT state_values, interrupts, error FROM run_results WHERE run_id = %(run_id)s

-- name: delete_run
WITH events AS (
    DELETE FROM run_events WHERE run_id = %(run_id)s
), result AS (
    DELETE FROM run_results WHERE run_id = %(run_id)s
), gone AS (
    DELETE FROM runs WHERE run_id = %(run_id)s
)
SELECT pg_notify('mandate_events', %(wakes)s)

-- name: leave_thread
UPDATE threads
SET status = %(status)s,
    state_values = coalesce(%(values)s::jsonb, state_values),
    interrupts = coalesce(%(interrupts)s::jsonb, interrupts),
    state_updated_at = now(),
    updated_at = now()
WHERE thread_id = %(thread_id)s

-- name: lanes
SELECT DISTINCT lane FROM runs WHERE status IN ('pending', 'running')

-- name: orphans
SELECT {run} FROM runs
WHERE runs.status IN ('pending', 'running')
    AND runs.updated_at < now() - %(silence)s
    AND (
        runs.scheduled
        OR NOT EXISTS (
            SELECT FROM runs AS earlier
            WHERE earlier.thread_id = runs.thread_id
                AND earlier.status IN ('pending', 'running')
                AND NOT earlier.scheduled
                AND earlier.ordinal < runs.ordinal
        )
    )
    AND NOT EXISTS (
        SELECT FROM pgqueuer WHERE pgqueuer.entrypoint = runs.lane AND pgqueuer.payload = uuid_send(runs.run_id)
    )
FOR UPDATE OF runs SKIP LOCKED
