from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mandate', '0006_prompts'),
    ]

    operations = [
        migrations.AddField(
            model_name='agent',
            name='priority',
            field=models.SmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='run',
            name='priority',
            field=models.SmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='cataloguemodel',
            name='use_responses_api',
            field=models.BooleanField(default=False, verbose_name='use the Responses API'),
        ),
        migrations.AddConstraint(
            model_name='agent',
            constraint=models.CheckConstraint(condition=models.Q(('priority__gte', -100), ('priority__lte', 100)), name='mandate_agent_priority', violation_error_message='A priority is between -100 and 100.'),
        ),
        migrations.AddConstraint(
            model_name='cataloguemodel',
            constraint=models.CheckConstraint(condition=models.Q(('use_responses_api', False), ('provider', 'openai'), _connector='OR'), name='mandate_catalogue_responses_api', violation_error_message="Only OpenAI's format has a Responses API."),
        ),
        migrations.AddIndex(
            model_name='checkpoint',
            index=models.Index(fields=['created_at'], name='mandate_checkpoint_age'),
        ),
    ]
