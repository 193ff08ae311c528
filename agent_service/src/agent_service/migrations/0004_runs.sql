-- What a run leaves that later runs of its thread do not touch, and what undoing one needs.

ALTER TABLE threads
    -- How its last run left it, while another one makes it busy.
    ADD COLUMN resting text NOT NULL DEFAULT 'idle' CHECK (resting IN ('idle', 'interrupted', 'error')),
    -- A run of it had a mandate: a person's own token only reads it.
    ADD COLUMN mandated boolean NOT NULL DEFAULT false;

ALTER TABLE runs
    -- It waits for its time, beside the order of its thread's runs, and takes its place in it then.
    ADD COLUMN scheduled boolean NOT NULL DEFAULT false;

-- No foreign keys: who waits for a run reads its result even if its thread went with it.
CREATE TABLE run_results (
    run_id uuid PRIMARY KEY,
    state_values jsonb,
    interrupts jsonb NOT NULL,
    error jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX run_results_created_at ON run_results (created_at);

-- A run that goes on from a checkpoint writes beside what stands there, and one that is tried again shows how
-- far it came: undoing it needs what there was before.
CREATE TABLE run_beginnings (
    run_id uuid PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    from_checkpoint text,
    writes jsonb NOT NULL DEFAULT '[]',
    state_values jsonb,
    interrupts jsonb
);
