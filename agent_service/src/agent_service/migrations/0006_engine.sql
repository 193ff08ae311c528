-- Which line of jobs a run stands in: one for each graph whose runs are limited, `run` for all others.

ALTER TABLE runs ADD COLUMN lane text NOT NULL DEFAULT 'run';
