-- Statements on stored assistants. An assistant is its row and, of its versions, the one in force.

-- name: insert_assistant
WITH made AS (
    INSERT INTO assistants (assistant_id, owner, idempotency_key, body_digest)
    VALUES (%(assistant_id)s, %(owner)s, %(key)s, %(digest)s)
    ON CONFLICT DO NOTHING
    RETURNING assistant_id, version, updated_at
), first AS (
    INSERT INTO assistant_versions (
        assistant_id, version, graph_id, name, description, config, context, metadata
    )
    SELECT
        assistant_id, version, %(graph_id)s, %(name)s, %(description)s, %(config)s, %(context)s, %(metadata)s
    FROM made
    RETURNING assistant_id, version, graph_id, name, description, config, context, metadata, created_at
)
SELECT
    assistant_id, first.version, graph_id, name, description, config, context, metadata, created_at, updated_at
FROM made JOIN first USING (assistant_id)

-- name: assistant
SELECT
    assistant_id, version, graph_id, name, description, config, context, metadata, assistants.created_at,
    updated_at
FROM assistants JOIN assistant_versions USING (assistant_id, version)
WHERE assistant_id = %(assistant_id)s AND owner = %(owner)s

-- name: assistant_by_key
SELECT
    assistant_id, version, graph_id, name, description, config, context, metadata, assistants.created_at,
    updated_at, body_digest
FROM assistants JOIN assistant_versions USING (assistant_id, version)
WHERE owner = %(owner)s AND idempotency_key = %(key)s

-- name: lock_assistant
WITH patience AS MATERIALIZED (SELECT be_brief())
SELECT assistant_id FROM patience, assistants
WHERE assistant_id = %(assistant_id)s AND owner = %(owner)s
FOR UPDATE OF assistants

-- name: add_version
WITH added AS (
    INSERT INTO assistant_versions (
        assistant_id, version, graph_id, name, description, config, context, metadata
    )
    SELECT
        assistant_id,
        (SELECT max(version) + 1 FROM assistant_versions WHERE assistant_id = %(assistant_id)s),
        coalesce(%(graph_id)s, graph_id),
        coalesce(%(name)s, name),
        coalesce(%(description)s, description),
        coalesce(%(config)s, config),
        coalesce(%(context)s, context),
        metadata || %(metadata)s
    FROM assistants JOIN assistant_versions USING (assistant_id, version)
    WHERE assistant_id = %(assistant_id)s
    RETURNING assistant_id, version
)
UPDATE assistants SET version = added.version, updated_at = now() FROM added
WHERE assistants.assistant_id = added.assistant_id

-- name: set_version
UPDATE assistants SET version = %(version)s, updated_at = now()
WHERE assistant_id = %(assistant_id)s
    AND EXISTS (
        SELECT FROM assistant_versions WHERE assistant_id = %(assistant_id)s AND version = %(version)s
    )
RETURNING assistant_id

-- name: delete_assistant
DELETE FROM assistants WHERE assistant_id = %(assistant_id)s AND owner = %(owner)s RETURNING assistant_id

-- name: versions
SELECT
    assistant_id, version, graph_id, name, description, config, context, metadata, created_at,
    created_at AS updated_at
FROM assistant_versions
WHERE assistant_id = %(assistant_id)s AND metadata @> %(metadata)s
ORDER BY version DESC
LIMIT %(limit)s OFFSET %(offset)s

-- name: assistants
WITH every AS (
    SELECT
        assistant_id, version, graph_id, name, description, config, context, metadata, assistants.created_at,
        updated_at
    FROM assistants JOIN assistant_versions USING (assistant_id, version)
    WHERE owner = %(owner)s
    UNION ALL
    SELECT * FROM jsonb_to_recordset(%(system)s) AS system (
        assistant_id uuid, version integer, graph_id text, name text, description text, config jsonb,
        context jsonb, metadata jsonb, created_at timestamptz, updated_at timestamptz
    )
)
SELECT *, count(*) OVER () AS found FROM every
WHERE (%(graph_id)s::text IS NULL OR graph_id = %(graph_id)s)
    AND (%(name)s::text IS NULL OR strpos(lower(name), lower(%(name)s)) > 0)
    AND metadata @> %(metadata)s
ORDER BY {by} {direction}, assistant_id
LIMIT %(limit)s OFFSET %(offset)s
