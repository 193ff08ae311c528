-- One way for a run to end. What follows from an end is one function, whether a worker ended the run or it was
-- cancelled before one took it; jobs are no longer logged, since nothing reads that.

-- Writes the last events and the webhook of a run whose row says that it has ended, queues the run of its thread
-- that waited behind it, and leaves the thread, which the caller has locked.

CREATE FUNCTION leave_run(
    ended runs,
    rests text,
    left_values jsonb,
    left_interrupts jsonb,
    last_events json,
    told_at timestamptz,
    wakes text,
    told text,
    webhook json
) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    before bigint;
    following runs;
BEGIN
    SELECT coalesce(max(seq), 0) INTO before FROM run_events WHERE run_id = ended.run_id;
    INSERT INTO run_events (run_id, seq, event, data, created_at)
    SELECT ended.run_id, before + place, item ->> 0, item ->> 1, told_at
    FROM json_array_elements(last_events) WITH ORDINALITY AS items (item, place);
    IF webhook IS NOT NULL THEN
        INSERT INTO webhooks (webhook_id, run_id, sequence, url, body)
        VALUES (
            (webhook ->> 'webhook_id')::uuid, ended.run_id, (webhook ->> 'sequence')::int, ended.webhook_url,
            webhook ->> 'body'
        );
        PERFORM pg_notify('mandate_webhooks', '');
    END IF;
    following := follow_run(ended);
    WITH rested AS (
        UPDATE threads
        SET status = CASE WHEN following.run_id IS NULL THEN rests ELSE 'busy' END,
            resting = rests,
            state_values = coalesce(left_values, state_values),
            interrupts = coalesce(left_interrupts, interrupts),
            state_updated_at = now(),
            updated_at = now()
        WHERE thread_id = ended.thread_id
        RETURNING state_values, interrupts
    )
    INSERT INTO run_results (run_id, state_values, interrupts, error)
    SELECT ended.run_id, state_values, interrupts, ended.error FROM rested;
    IF following.run_id IS NULL
        AND ended.payload ->> 'on_completion' = 'delete' AND NOT ended.metadata ? 'mandate_run'
    THEN
        -- The thread was made for this run. What it left stays for those who wait for it: events and result.
        DELETE FROM threads WHERE thread_id = ended.thread_id;
        DELETE FROM checkpoints WHERE thread_id = ended.thread_id::text;
        DELETE FROM checkpoint_blobs WHERE thread_id = ended.thread_id::text;
        DELETE FROM checkpoint_writes WHERE thread_id = ended.thread_id::text;
    END IF;
    PERFORM pg_notify(
        'mandate_events', CASE WHEN told IS NULL THEN wakes ELSE concat_ws(E'\n', wakes, before, told) END
    );
END
$$;

-- Returns the first of the thread's other runs, and queues it if it waited behind the one that leaves. A run in
-- front was queued when it came to the front, and one that waits for its time is in nobody's way.

CREATE FUNCTION follow_run(leaving runs) RETURNS runs LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    following runs;
BEGIN
    SELECT * INTO following FROM runs
    WHERE thread_id = leaving.thread_id
        AND run_id <> leaving.run_id
        AND status IN ('pending', 'running')
        AND NOT scheduled
    ORDER BY ordinal
    LIMIT 1;
    IF following.ordinal > leaving.ordinal AND NOT leaving.scheduled THEN
        PERFORM enqueue_run(following.run_id, following.lane, following.priority, following.not_before);
    END IF;
    RETURN following;
END
$$;

-- Ends a run in one statement, with its job. Called first in the transaction that also writes its last
-- checkpoints: who lost the run writes none.

CREATE FUNCTION end_run(
    ended_run uuid,
    held_epoch bigint,
    of_thread uuid,
    new_status text,
    failure jsonb,
    used jsonb,
    rests text,
    left_values jsonb,
    left_interrupts jsonb,
    last_events json,
    told_at timestamptz,
    wakes text,
    told text,
    webhook json,
    done_job bigint,
    by_manager uuid
) RETURNS timestamptz LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ended runs;
BEGIN
    PERFORM be_brief();
    PERFORM FROM threads WHERE thread_id = of_thread FOR UPDATE;
    UPDATE runs SET status = new_status, error = failure, usage = used, updated_at = now(), ended_at = now()
    WHERE run_id = ended_run AND epoch = held_epoch AND status = 'running'
    RETURNING * INTO ended;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Another worker has the run.' USING ERRCODE = 'LS001';
    END IF;
    IF ended.cancel_action = 'rollback' THEN
        RAISE EXCEPTION 'The run is to be taken back.' USING ERRCODE = 'LS002';
    END IF;
    PERFORM leave_run(
        ended, rests, left_values, left_interrupts, last_events, told_at, wakes, told, webhook
    );
    IF done_job IS NOT NULL THEN
        DELETE FROM pgqueuer WHERE id = done_job AND queue_manager_id = by_manager;
    END IF;
    RETURN now();
END
$$;

DROP FUNCTION end_run_at_once;

CREATE OR REPLACE FUNCTION enqueue_run(queued uuid, in_lane text, with_priority integer, due timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pgqueuer (priority, entrypoint, payload, execute_after, status)
    VALUES (with_priority, in_lane, uuid_send(queued), greatest(due, now()), 'queued');
END
$$;

-- A claim tells whether its thread has no checkpoint, so that nobody looks for one.

DROP FUNCTION claim_run;

CREATE FUNCTION claim_run(wanted uuid, by_worker text, prompts jsonb)
RETURNS TABLE (held runs, epoch_before bigint, rested text, last_seq bigint, is_blank boolean)
LANGUAGE plpgsql ROWS 1 SET plan_cache_mode = force_generic_plan AS $$
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
    -- From here on only this worker writes one: the epoch before is refused, and so is a change from outside.
    is_blank := NOT EXISTS (SELECT FROM checkpoints WHERE thread_id = held.thread_id::text);
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

-- Most rows have no key; and a row that changes is written into every index of its table again.

DROP INDEX threads_idempotency_key;
DROP INDEX runs_idempotency_key;
CREATE UNIQUE INDEX threads_idempotency_key ON threads (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX runs_idempotency_key ON runs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
