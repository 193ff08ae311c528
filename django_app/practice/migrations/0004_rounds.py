from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('practice', '0003_chains'),
    ]

    operations = [
        migrations.AddField(
            model_name='chainstep',
            name='round',
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.RemoveConstraint(
            model_name='chainstep',
            name='practice_step_once',
        ),
        migrations.AddConstraint(
            model_name='chainstep',
            constraint=models.UniqueConstraint(fields=('chain', 'kind', 'task', 'round'), name='practice_step_once', nulls_distinct=False),
        ),
    ]
