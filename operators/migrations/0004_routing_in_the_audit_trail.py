"""Name what staff do to routing rules in the audit trail."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("operators", "0003_health_in_the_audit_trail"),)

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
                    ("add_rule", "Add Rule"),
                    ("change_rule", "Change Rule"),
                    ("delete_rule", "Delete Rule"),
                    ("import_rate_sheet", "Import Rate Sheet"),
                    ("undo_rate_sheet", "Undo Rate Sheet"),
                ],
                max_length=20,
            ),
        ),
    )
