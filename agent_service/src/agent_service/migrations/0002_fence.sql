-- A worker that lost a run writes no checkpoint of it: called first in the transaction that writes one.

CREATE FUNCTION hold_run(held_run uuid, held_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM runs WHERE run_id = held_run AND epoch = held_epoch AND status = 'running' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Another worker has the run.' USING ERRCODE = 'LS001';
    END IF;
END
$$;
