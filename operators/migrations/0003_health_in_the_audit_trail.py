"""Name what staff decide about health in the audit trail."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("operators", "0002_wake_the_drainer"),)

    operations = (
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.CharField(
                choices=[
                    ("create", "Create"),
                    ("update", "Update"),
                    ("rotate_credential", "Rotate Credential"),
                    ("revert_credential", "Revert Credential"),
                    ("activate", "Activate"),
                    ("suspend", "Suspend"),
                    ("deactivate", "Deactivate"),
                    ("delete", "Delete"),
                    ("restore", "Restore"),
                    ("start_maintenance", "Start Maintenance"),
                    ("end_maintenance", "End Maintenance"),
                    ("override_health", "Override Health"),
                    ("end_override", "End Override"),
                ],
                max_length=20,
            ),
        ),
    )
