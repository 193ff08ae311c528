-- Ends a run in one statement, and so in one transaction that nobody can hold open: the common case, in which
-- nothing waits behind the run and nobody asked to roll it back. Any other is left untouched, and no row returned.

CREATE FUNCTION end_run_at_once(
    ended_run uuid,
    held_epoch bigint,
    of_thread uuid,
    new_status text,
    failure jsonb,
    used jsonb,
    prompts text,
    rests text,
    left_values jsonb,
    left_interrupts jsonb,
    last_events json,
    told_at timestamptz,
    wakes text,
    told text,
    webhook_to text,
    webhook json,
    done_job bigint,
    by_manager uuid
) RETURNS SETOF timestamptz LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
BEGIN
    PERFORM FROM threads WHERE thread_id = of_thread FOR UPDATE;
    PERFORM FROM runs
    WHERE thread_id = of_thread AND run_id <> ended_run AND status IN ('pending', 'running') AND NOT scheduled;
    IF FOUND THEN
        RETURN;
    END IF;
    UPDATE runs
    SET status = new_status, error = failure, usage = used, updated_at = now(), ended_at = now(),
        prompt_version = coalesce(prompts, prompt_version)
    WHERE run_id = ended_run AND epoch = held_epoch AND status = 'running'
        AND cancel_action IS DISTINCT FROM 'rollback';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(max(seq), 0) INTO before FROM run_events WHERE run_id = ended_run;
    INSERT INTO run_events (run_id, seq, event, data, created_at)
    SELECT ended_run, before + place, item ->> 0, item ->> 1, told_at
    FROM json_array_elements(last_events) WITH ORDINALITY AS items (item, place);
    WITH rested AS (
        UPDATE threads
        SET status = rests,
            resting = rests,
            state_values = coalesce(left_values, state_values),
            interrupts = coalesce(left_interrupts, interrupts),
            state_updated_at = now(),
            updated_at = now()
        WHERE thread_id = of_thread
        RETURNING state_values, interrupts
    )
    INSERT INTO run_results (run_id, state_values, interrupts, error)
    SELECT ended_run, state_values, interrupts, failure FROM rested;
    IF webhook_to IS NOT NULL THEN
        INSERT INTO webhooks (webhook_id, run_id, sequence, url, body)
        VALUES (
            (webhook ->> 'webhook_id')::uuid, ended_run, (webhook ->> 'sequence')::int, webhook_to, webhook ->> 'body'
        );
        PERFORM pg_notify('mandate_webhooks', '');
    END IF;
    IF done_job IS NOT NULL THEN
        WITH done AS (
            DELETE FROM pgqueuer WHERE id = done_job AND queue_manager_id = by_manager
            RETURNING id, entrypoint, priority
        )
        INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
        SELECT id, 'successful', entrypoint, priority FROM done;
    END IF;
    PERFORM pg_notify(
        'mandate_events', CASE WHEN told IS NULL THEN wakes ELSE concat_ws(E'\n', wakes, before, told) END
    );
    RETURN NEXT now();
END
$$;

-- Takes a run under a new epoch, and writes the event that each attempt begins with. How far the events go is
-- looked up when the run is locked: a worker that lost it may have written until then, and not after.

CREATE FUNCTION claim_run(wanted uuid, by_worker text, prompts jsonb)
RETURNS TABLE (held runs, epoch_before bigint, rested text, last_seq bigint) LANGUAGE plpgsql AS $$
DECLARE
    begun text;
BEGIN
    SELECT runs.epoch INTO epoch_before FROM runs
    WHERE run_id = wanted AND status IN ('pending', 'running') AND NOT scheduled
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE runs
    SET status = 'running', attempt = attempt + 1, epoch = nextval('run_epochs'), worker = by_worker,
        started_at = coalesce(started_at, now()), updated_at = now(), claimed_at = now(),
        prompt_version = coalesce(prompts ->> graph_id, prompt_version),
        -- A worker that died took the rest of its time with it.
        worked = worked + coalesce(CASE WHEN status = 'running' THEN updated_at - claimed_at END, '0')
    WHERE run_id = wanted
    RETURNING runs.* INTO held;
    SELECT resting INTO rested FROM threads WHERE thread_id = held.thread_id;
    SELECT coalesce(max(seq), 0) INTO last_seq FROM run_events WHERE run_id = wanted;
    begun := format('{"run_id":"%s","attempt":%s}', wanted, held.attempt);
    INSERT INTO run_events (run_id, seq, event, data, created_at)
    VALUES (wanted, last_seq + 1, 'metadata', begun, now());
    PERFORM pg_notify(
        'mandate_events',
        concat_ws(E'\n', wanted, last_seq, json_build_array(json_build_array('metadata', begun, now())))
    );
    last_seq := last_seq + 1;
    RETURN NEXT;
END
$$;

-- Queues a run as pgqueuer would, in the statement that brings it to the front of its thread.

CREATE FUNCTION enqueue_run(queued uuid, in_lane text, with_priority integer, due timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH job AS (
        INSERT INTO pgqueuer (priority, entrypoint, payload, execute_after, status)
        VALUES (with_priority, in_lane, uuid_send(queued), greatest(due, now()), 'queued')
        RETURNING id, entrypoint, priority
    )
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
    SELECT id, 'queued', entrypoint, priority FROM job;
END
$$;
