-- What the agent streaming protocol needs to know of runs beside their events.

-- name: about
SELECT run_id, number, graph_id, status, error, payload, end_told FROM runs WHERE run_id = %(run_id)s

-- name: place_of
SELECT
    (SELECT min(ordinal) FROM runs WHERE thread_id = %(thread_id)s AND number >= %(number)s) AS ordinal,
    (SELECT max(ordinal) FROM runs WHERE thread_id = %(thread_id)s AND number < %(number)s) AS before

-- name: current
SELECT runs.ordinal, runs.status, runs.end_told, threads.status AS thread_status,
    runs.status IN ('pending', 'running') AS unfinished
FROM runs JOIN threads USING (thread_id)
WHERE thread_id = %(thread_id)s AND NOT (runs.scheduled AND runs.status = 'pending')
ORDER BY unfinished DESC, CASE WHEN runs.status IN ('pending', 'running') THEN ordinal ELSE -ordinal END
LIMIT 1

-- name: unannounced
SELECT asked.id
FROM threads CROSS JOIN unnest(%(ids)s::text[]) AS asked (id)
WHERE threads.thread_id = %(thread_id)s
    AND NOT jsonb_path_exists(interrupts, '$.*[*].id ? (@ == $id)', jsonb_build_object('id', asked.id))
    AND NOT EXISTS (
        SELECT FROM runs JOIN run_events USING (run_id)
        WHERE runs.thread_id = threads.thread_id
            AND status IN ('pending', 'running')
            AND event ~ '^(values|updates)(\||$)'
            AND data LIKE '%%"__interrupt__"%%'
            AND strpos(data, asked.id) > 0
    )

-- name: end_is_told
UPDATE runs SET end_told = true WHERE run_id = %(run_id)s AND NOT end_told
