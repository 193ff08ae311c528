-- Statements on whole threads. Whoever takes a thread and more locks the thread first.
-- {thread} is the columns that this release reads.

-- name: create_thread
INSERT INTO threads (
    thread_id, owner, metadata, ttl, expires_at, ttl_strategy, idempotency_key, body_digest
)
VALUES (
    %(thread_id)s, %(owner)s, %(metadata)s, %(ttl)s, now() + %(ttl)s, %(ttl_strategy)s, %(key)s, %(digest)s
)
ON CONFLICT DO NOTHING
RETURNING {thread}

-- name: change_thread
UPDATE threads
SET metadata = metadata || %(metadata)s,
    ttl = coalesce(%(ttl)s, ttl),
    expires_at = coalesce(now() + %(ttl)s, expires_at),
    ttl_strategy = coalesce(%(ttl_strategy)s, ttl_strategy),
    updated_at = now()
WHERE thread_id = %(thread_id)s AND owner = %(owner)s
RETURNING {thread}

-- name: search_threads
SELECT {thread} FROM threads
WHERE owner = %(owner)s
    AND metadata @> %(metadata)s
    AND (%(values)s::jsonb IS NULL OR state_values @> %(values)s::jsonb)
    AND (%(ids)s::uuid[] IS NULL OR thread_id = ANY(%(ids)s::uuid[]))
    AND (%(status)s::text IS NULL OR status = %(status)s)
ORDER BY {by} {direction}, thread_id
LIMIT %(limit)s OFFSET %(offset)s

-- name: count_threads
SELECT count(*) AS found FROM threads
WHERE owner = %(owner)s
    AND metadata @> %(metadata)s
    AND (%(values)s::jsonb IS NULL OR state_values @> %(values)s::jsonb)
    AND (%(ids)s::uuid[] IS NULL OR thread_id = ANY(%(ids)s::uuid[]))
    AND (%(status)s::text IS NULL OR status = %(status)s)

-- name: copy_thread
WITH source AS (
    SELECT * FROM threads WHERE thread_id = %(thread_id)s AND owner = %(owner)s
), checkpoints_copied AS (
    INSERT INTO checkpoints (
        thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
    )
    SELECT
        %(copy)s::text, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint,
        CASE
            WHEN metadata ? 'thread_id' THEN metadata || jsonb_build_object('thread_id', %(copy)s::text)
            ELSE metadata
        END
    FROM checkpoints WHERE thread_id = (SELECT thread_id::text FROM source)
), blobs_copied AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(copy)s::text, checkpoint_ns, channel, version, type, blob
    FROM checkpoint_blobs WHERE thread_id = (SELECT thread_id::text FROM source)
), writes_copied AS (
    INSERT INTO checkpoint_writes (
        thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
    )
    SELECT
        %(copy)s::text, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
    FROM checkpoint_writes WHERE thread_id = (SELECT thread_id::text FROM source)
)
INSERT INTO threads (thread_id, owner, status, resting, metadata, state_values, interrupts, mandated)
SELECT
    %(copy)s, owner, CASE status WHEN 'busy' THEN resting ELSE status END, resting, metadata, state_values,
    interrupts, mandated
FROM source
RETURNING {thread}

-- name: leave_edited
UPDATE threads
SET status = %(status)s, state_values = %(values)s, interrupts = %(interrupts)s,
    state_updated_at = now(), updated_at = now()
WHERE thread_id = %(thread_id)s
RETURNING {thread}

-- name: last_given
SELECT DISTINCT ON (thread_id) thread_id, payload -> 'config' AS config, payload -> 'context' AS context
FROM runs WHERE thread_id = ANY(%(thread_ids)s)
ORDER BY thread_id, ordinal DESC

-- name: threads_of_assistant
SELECT thread_id FROM threads
WHERE owner = %(owner)s AND metadata @> jsonb_build_object('assistant_id', %(assistant_id)s::text)
