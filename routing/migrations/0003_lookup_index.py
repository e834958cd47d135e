"""Hold all that resolution reads of a rule in the index of prefixes."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0002_rate_sheets"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="routingrule",
            name="routing_rule_by_prefix",
        ),
        migrations.AddIndex(
            model_name="routingrule",
            index=models.Index(
                fields=["prefix", "id"],
                include=(
                    "operator",
                    "mcc",
                    "mnc",
                    "priority",
                    "weight",
                    "cost_per_segment",
                    "currency",
                    "effective_from",
                    "effective_to",
                    "active",
                ),
                name="routing_rule_by_prefix",
            ),
        ),
    ]
