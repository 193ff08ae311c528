-- Statements on the events of runs.

-- name: write
WITH batch AS (
    SELECT * FROM unnest(
        %(run_ids)s::uuid[], %(epochs)s::bigint[], %(seqs)s::bigint[], %(events)s::text[], %(data)s::text[],
        %(times)s::timestamptz[]
    ) AS item (run_id, epoch, seq, event, data, created_at)
), held AS (
    SELECT runs.run_id, runs.epoch, runs.cancel_action
    FROM runs JOIN (SELECT DISTINCT run_id, epoch FROM batch) AS claimed USING (run_id, epoch)
    WHERE runs.status = 'running'
    FOR SHARE OF runs
), written AS (
    INSERT INTO run_events (run_id, seq, event, data, created_at)
    SELECT batch.run_id, batch.seq, batch.event, batch.data, batch.created_at
    FROM batch JOIN held USING (run_id, epoch)
    ON CONFLICT DO NOTHING
), notified AS (
    SELECT pg_notify('mandate_events', string_agg(run_id::text, ',')) AS sent FROM held HAVING count(*) > 0
)
SELECT held.run_id, held.cancel_action FROM held CROSS JOIN notified

-- name: close
WITH batch AS (
    SELECT * FROM unnest(%(events)s::text[], %(data)s::text[]) WITH ORDINALITY AS item (event, data, place)
), written AS (
    INSERT INTO run_events (run_id, seq, event, data)
    SELECT
        %(run_id)s,
        (SELECT coalesce(max(seq), 0) FROM run_events WHERE run_id = %(run_id)s) + place,
        event,
        data
    FROM batch
)
SELECT pg_notify('mandate_events', %(run_id)s::text)

-- name: read
SELECT run_id, seq, event, data, created_at FROM run_events
WHERE run_id = %(run_id)s AND seq > %(after)s
ORDER BY seq
LIMIT %(limit)s

-- name: is_unfinished
SELECT FROM runs WHERE run_id = %(run_id)s AND status IN ('pending', 'running')
