-- Which line of jobs a run stands in: one for each graph whose runs are limited, `run` for all others.

ALTER TABLE runs ADD COLUMN lane text NOT NULL DEFAULT 'run';

-- What housekeeping has done already, so that it looks at each row once.

ALTER TABLE runs ADD COLUMN events_swept boolean NOT NULL DEFAULT false;
ALTER TABLE threads ADD COLUMN pruned_at timestamptz;

CREATE INDEX runs_events_due ON runs (ended_at) WHERE NOT events_swept AND ended_at IS NOT NULL;
CREATE INDEX threads_prune_due ON threads (state_updated_at)
WHERE pruned_at IS NULL OR pruned_at < state_updated_at;

-- What each attempt to deliver a webhook was answered, and which addresses are left alone for a while.

CREATE TABLE webhook_attempts (
    webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    attempt integer NOT NULL,
    answer text NOT NULL,
    taken boolean NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX webhook_attempts_of ON webhook_attempts (webhook_id);

CREATE TABLE webhook_addresses (
    url text PRIMARY KEY,
    failures integer NOT NULL,
    resting_until timestamptz NOT NULL
);
