-- How long a run was worked on, over all workers that had it: its time limit is one for them together.

ALTER TABLE runs
    -- Up to the last claim.
    ADD COLUMN worked interval NOT NULL DEFAULT '0',
    -- By the worker that has it, or had it last; how long that one lived shows when the row was touched last.
    ADD COLUMN claimed_at timestamptz;
