from django.db import migrations

FORWARDS = """
CREATE FUNCTION mandate_keep_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'A run''s notes are added, and never changed.' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER mandate_keep_note BEFORE UPDATE ON mandate_runnote
    FOR EACH ROW EXECUTE FUNCTION mandate_keep_note();
"""
BACKWARDS = """
DROP TRIGGER mandate_keep_note ON mandate_runnote;
DROP FUNCTION mandate_keep_note();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('mandate', '0002_checkpoints'),
    ]

    operations = [
        migrations.RunSQL(FORWARDS, BACKWARDS),
    ]
