-- A process that stands still in the middle of a transaction, asleep or cut off, keeps its locks only so long;
-- whoever takes its runs over waits for them. Idleness alone is not enough: in a pipeline it does not count.

CREATE FUNCTION be_brief() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '8s', true);
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM set_config('transaction_timeout', '8s', true);
    END IF;
    RETURN true;
END
$$;

-- A worker that lost a run writes no checkpoint of it: called first in the transaction that writes one.

CREATE FUNCTION hold_run(held_run uuid, held_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM be_brief();
    PERFORM FROM runs WHERE run_id = held_run AND epoch = held_epoch AND status = 'running' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Another worker has the run.' USING ERRCODE = 'LS001';
    END IF;
END
$$;
