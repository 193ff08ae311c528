-- What Prometheus is shown of the database.

-- name: runs
SELECT graph_id, status, count(*) AS count FROM runs
WHERE status IN ('pending', 'running')
GROUP BY graph_id, status

-- name: ages
SELECT
    (
        SELECT coalesce(extract(epoch FROM now() - min(greatest(created_at, not_before))), 0)::float8
        FROM runs AS waiting
        WHERE status = 'pending' AND not_before <= now() AND NOT EXISTS (
            SELECT FROM runs AS earlier
            WHERE earlier.thread_id = waiting.thread_id
                AND earlier.status IN ('pending', 'running')
                AND earlier.ordinal < waiting.ordinal
        )
    ) AS runs_oldest_pending_seconds,
    (SELECT count(*) FROM threads WHERE status = 'interrupted') AS threads_parked,
    count(*) FILTER (WHERE delivered_at IS NULL AND abandoned_at IS NULL) AS webhooks_pending,
    coalesce(
        extract(epoch FROM now() - min(created_at) FILTER (WHERE delivered_at IS NULL AND abandoned_at IS NULL)),
        0
    )::float8 AS webhooks_oldest_seconds,
    count(*) FILTER (WHERE abandoned_at IS NOT NULL) AS webhooks_abandoned
FROM webhooks

-- name: tables
SELECT relname AS name, pg_total_relation_size(oid)::bigint AS bytes, greatest(reltuples, 0)::bigint AS estimate
FROM pg_class
WHERE relname = ANY(%(names)s) AND relkind = 'r' AND relnamespace = current_schema()::regnamespace
