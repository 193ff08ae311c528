-- Statements that take back what a run did to its thread.

-- name: note_beginning
INSERT INTO run_beginnings (run_id, from_checkpoint, writes)
SELECT
    %(run_id)s,
    start.checkpoint_id,
    coalesce(jsonb_agg(to_jsonb(writes)) FILTER (WHERE writes.checkpoint_id IS NOT NULL), '[]')
FROM (
    SELECT coalesce(%(checkpoint_id)s::text, max(checkpoint_id), '') AS checkpoint_id
    FROM checkpoints
    WHERE thread_id = %(thread_id)s AND checkpoint_ns = ''
) AS start
LEFT JOIN checkpoint_writes AS writes
    ON writes.thread_id = %(thread_id)s AND writes.checkpoint_id >= start.checkpoint_id
GROUP BY start.checkpoint_id
ON CONFLICT DO NOTHING

-- name: note_state
INSERT INTO run_beginnings AS noted (run_id, state_values, interrupts)
SELECT %(run_id)s, state_values, interrupts FROM threads WHERE thread_id = %(thread_id)s
ON CONFLICT (run_id) DO UPDATE SET state_values = excluded.state_values, interrupts = excluded.interrupts
WHERE noted.interrupts IS NULL

-- name: delete_checkpoints
WITH gone AS (
    DELETE FROM checkpoints WHERE thread_id = %(thread_id)s AND metadata ->> 'run_id' = %(run_id)s
    RETURNING checkpoint_ns, checkpoint_id
)
DELETE FROM checkpoint_writes USING gone
WHERE thread_id = %(thread_id)s
    AND checkpoint_writes.checkpoint_ns = gone.checkpoint_ns
    AND checkpoint_writes.checkpoint_id = gone.checkpoint_id

-- name: delete_late_writes
DELETE FROM checkpoint_writes USING run_beginnings
WHERE run_id = %(run_id)s AND thread_id = %(thread_id)s AND checkpoint_id >= from_checkpoint

-- name: restore_writes
INSERT INTO checkpoint_writes
SELECT earlier.*
FROM run_beginnings CROSS JOIN LATERAL jsonb_populate_recordset(NULL::checkpoint_writes, writes) AS earlier
WHERE run_id = %(run_id)s

-- name: rest_thread
WITH following AS MATERIALIZED (SELECT (follow_run(runs)).run_id FROM runs WHERE run_id = %(run_id)s)
UPDATE threads
SET status = CASE WHEN following.run_id IS NULL THEN resting ELSE 'busy' END,
    state_values = CASE WHEN noted.interrupts IS NULL THEN threads.state_values ELSE noted.state_values END,
    interrupts = coalesce(noted.interrupts, threads.interrupts),
    updated_at = now()
FROM following LEFT JOIN run_beginnings AS noted ON noted.run_id = %(run_id)s
WHERE thread_id = %(thread_id)s
