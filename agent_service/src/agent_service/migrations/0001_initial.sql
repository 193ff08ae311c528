-- Runs and threads, their events, and the webhooks that tell about them.

CREATE TABLE threads (
    thread_id uuid PRIMARY KEY,
    owner text NOT NULL,
    status text NOT NULL DEFAULT 'idle' CHECK (status IN ('idle', 'busy', 'interrupted', 'error')),
    metadata jsonb NOT NULL DEFAULT '{}',
    -- What the last run left, so that reading a thread needs no checkpoint.
    state_values jsonb,
    interrupts jsonb NOT NULL DEFAULT '{}',
    idempotency_key text,
    body_digest text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX threads_idempotency_key ON threads (owner, idempotency_key);
CREATE INDEX threads_owner_updated_at ON threads (owner, updated_at DESC);
CREATE INDEX threads_metadata ON threads USING gin (metadata jsonb_path_ops);

CREATE TABLE runs (
    run_id uuid PRIMARY KEY,
    -- The order of a thread's runs.
    ordinal bigint GENERATED ALWAYS AS IDENTITY,
    thread_id uuid NOT NULL REFERENCES threads ON DELETE CASCADE,
    assistant_id uuid NOT NULL,
    graph_id text NOT NULL,
    owner text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'success', 'error', 'timeout', 'interrupted')),
    -- json and not jsonb: a graph sees the keys of its input in the order they came in.
    payload json NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    multitask_strategy text NOT NULL,
    priority integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    attempt integer NOT NULL DEFAULT 0,
    epoch bigint,
    worker text,
    cancel_action text CHECK (cancel_action IN ('interrupt', 'rollback')),
    error jsonb,
    usage jsonb NOT NULL DEFAULT '[]',
    webhook_url text,
    idempotency_key text,
    body_digest text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz
);

CREATE UNIQUE INDEX runs_one_running_per_thread ON runs (thread_id) WHERE status = 'running';
CREATE UNIQUE INDEX runs_idempotency_key ON runs (owner, idempotency_key);
CREATE INDEX runs_unfinished ON runs (thread_id, ordinal) WHERE status IN ('pending', 'running');
CREATE INDEX runs_of_thread ON runs (thread_id, ordinal DESC);

-- No foreign key: it would lock the run's row once more for every batch of events.
CREATE TABLE run_events (
    run_id uuid NOT NULL,
    seq bigint NOT NULL,
    event text NOT NULL,
    -- text and not jsonb: it is only ever passed on, and may hold an escaped NUL.
    data text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE webhooks (
    webhook_id uuid PRIMARY KEY,
    run_id uuid NOT NULL,
    sequence integer NOT NULL,
    url text NOT NULL,
    body text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    abandoned_at timestamptz,
    last_answer text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (run_id, sequence)
);

CREATE INDEX webhooks_due ON webhooks (next_attempt_at) WHERE delivered_at IS NULL AND abandoned_at IS NULL;

-- Django refuses an older epoch, and a rebuilt database must not begin again below the ones it has seen.
CREATE SEQUENCE run_epochs;
SELECT setval('run_epochs', extract(epoch FROM clock_timestamp())::bigint);
