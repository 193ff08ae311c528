-- The agent streaming protocol counts the events of a thread over its runs, in numbers that JavaScript can hold:
-- so each run has a number within its thread. It moves with the ordinal, and none is given twice.

ALTER TABLE threads ADD COLUMN runs_numbered bigint NOT NULL DEFAULT 0;
ALTER TABLE runs
    ADD COLUMN number bigint NOT NULL DEFAULT 0,
    -- Somebody who watches what goes on in the thread was told that it ended.
    ADD COLUMN end_told boolean NOT NULL DEFAULT false;

CREATE FUNCTION number_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE threads SET runs_numbered = runs_numbered + 1 WHERE thread_id = NEW.thread_id
    RETURNING runs_numbered INTO NEW.number;
    RETURN NEW;
END
$$;

CREATE TRIGGER runs_number BEFORE INSERT OR UPDATE OF ordinal ON runs
FOR EACH ROW EXECUTE FUNCTION number_run();
