-- Statements on the events of runs.

-- name: write
WITH batch AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(batch)s::json) AS item (
        run_id uuid, epoch bigint, before bigint, events json, fits boolean
    )
), held AS (
    SELECT runs.run_id, runs.epoch, runs.cancel_action, batch.before, batch.events, batch.fits
    FROM runs JOIN batch USING (run_id, epoch)
    WHERE runs.status = 'running'
    FOR SHARE OF runs
), written AS (
    INSERT INTO run_events (run_id, seq, event, data, created_at)
    SELECT run_id, before + place, item ->> 0, item ->> 1, (item ->> 2)::timestamptz
    FROM held CROSS JOIN LATERAL json_array_elements(events) WITH ORDINALITY AS items (item, place)
    ON CONFLICT DO NOTHING
)
SELECT
    run_id, epoch, cancel_action,
    pg_notify('mandate_events', CASE WHEN fits THEN concat_ws(E'\n', run_id, before, events::text) ELSE run_id::text END)
FROM held

-- name: close
WITH batch AS (
    SELECT item ->> 0 AS event, item ->> 1 AS data, place
    FROM json_array_elements(%(events)s::json) WITH ORDINALITY AS items (item, place)
), written AS (
    INSERT INTO run_events (run_id, seq, event, data, created_at)
    SELECT %(run_id)s, before + place, event, data, %(created_at)s
    FROM (SELECT coalesce(max(seq), 0) AS before FROM run_events WHERE run_id = %(run_id)s) AS earlier, batch
)
SELECT pg_notify(
    'mandate_events',
    CASE WHEN %(told)s::text IS NULL THEN %(wakes)s::text ELSE concat_ws(E'\n', %(wakes)s, before, %(told)s) END
)
FROM (SELECT coalesce(max(seq), 0) AS before FROM run_events WHERE run_id = %(run_id)s) AS earlier

-- name: read
SELECT
    place,
    EXISTS (SELECT FROM runs WHERE runs.run_id = wanted_id AND status IN ('pending', 'running')) AS unfinished,
    page.*
FROM unnest(%(run_ids)s::uuid[], %(afters)s::bigint[]) WITH ORDINALITY AS wanted (wanted_id, after, place)
LEFT JOIN LATERAL (
    SELECT run_id, seq, event, data, created_at FROM run_events
    WHERE run_id = wanted_id AND seq > after
    ORDER BY seq
    LIMIT %(limit)s
) AS page ON true
ORDER BY place, seq

-- name: last
SELECT data FROM run_events WHERE run_id = %(run_id)s AND event = %(event)s ORDER BY seq DESC LIMIT 1

-- name: is_unfinished
SELECT FROM runs WHERE run_id = %(run_id)s AND status IN ('pending', 'running')

-- name: read_thread
WITH head AS (
    SELECT run_id, ordinal FROM runs
    WHERE thread_id = %(thread_id)s AND status IN ('pending', 'running') AND NOT scheduled
    ORDER BY ordinal
    LIMIT 1
)
SELECT head.run_id AS head, item.*
FROM threads
LEFT JOIN head ON true
LEFT JOIN LATERAL (
    SELECT run_id, ordinal, seq, event, CASE WHEN is_wanted THEN data END AS data, created_at, is_wanted
    FROM (
        SELECT
            page.*,
            %(names)s::text[] IS NULL
                OR split_part(event, '|', 1) = ANY(%(names)s::text[])
                OR (split_part(event, '|', 1) IN ('values', 'updates') AND strpos(data, %(text)s::text) > 0)
                AS is_wanted,
            row_number() OVER (ORDER BY ordinal DESC, seq DESC) = 1 AS is_last
        FROM (
            SELECT runs.ordinal, event.*
            FROM runs
            CROSS JOIN LATERAL (
                SELECT run_id, seq, event, data, created_at FROM run_events
                WHERE run_events.run_id = runs.run_id
                    AND seq > CASE WHEN runs.ordinal = %(ordinal)s THEN %(seq)s::bigint ELSE 0 END
                ORDER BY seq
                LIMIT %(limit)s
            ) AS event
            WHERE runs.thread_id = threads.thread_id
                AND runs.ordinal >= %(ordinal)s
                AND (head.ordinal IS NULL OR runs.ordinal <= head.ordinal)
            ORDER BY runs.ordinal, event.seq
            LIMIT %(limit)s
        ) AS page
    ) AS judged
    WHERE is_wanted OR is_last
) AS item ON true
WHERE threads.thread_id = %(thread_id)s
ORDER BY item.ordinal, item.seq

-- name: last_ended
SELECT coalesce(
    (
        SELECT ordinal - 1 FROM runs
        WHERE thread_id = %(thread_id)s AND status IN ('pending', 'running') AND NOT scheduled
        ORDER BY ordinal
        LIMIT 1
    ),
    (SELECT max(ordinal) FROM runs WHERE thread_id = %(thread_id)s),
    0
) AS ordinal
