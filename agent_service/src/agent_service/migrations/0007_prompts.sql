-- The version of the prompts that a run was worked on with, by content; none where its graph declares no folder.

ALTER TABLE runs ADD COLUMN prompt_version text;
