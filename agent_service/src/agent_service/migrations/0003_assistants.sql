-- Threads that go by themselves, and assistants that people store.

ALTER TABLE threads
    -- Set by the request that asks for it, counted from then; a sweeper acts on it, never on a busy thread.
    ADD COLUMN expires_at timestamptz,
    -- How long it was asked to live, so that a thread that only loses its history is swept again.
    ADD COLUMN ttl interval,
    ADD COLUMN ttl_strategy text CHECK (ttl_strategy IN ('delete', 'keep_latest')),
    ADD COLUMN state_updated_at timestamptz NOT NULL DEFAULT now(),
    ADD CONSTRAINT threads_expire_whole CHECK (num_nulls(expires_at, ttl, ttl_strategy) IN (0, 3));

CREATE INDEX threads_expires_at ON threads (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE assistants (
    assistant_id uuid PRIMARY KEY,
    owner text NOT NULL,
    -- The one in force.
    version integer NOT NULL DEFAULT 1,
    idempotency_key text,
    body_digest text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX assistants_idempotency_key ON assistants (owner, idempotency_key);
CREATE INDEX assistants_owner ON assistants (owner);

-- Rows are never updated.
CREATE TABLE assistant_versions (
    assistant_id uuid NOT NULL REFERENCES assistants ON DELETE CASCADE,
    version integer NOT NULL,
    graph_id text NOT NULL,
    name text NOT NULL,
    description text,
    config jsonb NOT NULL,
    context jsonb NOT NULL,
    metadata jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (assistant_id, version)
);
