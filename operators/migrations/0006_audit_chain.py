"""Link the rows of the audit trail and of the reads of passwords, and let nobody change them."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

from operators.chain import install_sql, remove_sql


class Migration(migrations.Migration):
    dependencies = (("operators", "0005_credential_reads"),)

    operations = (
        migrations.AddField(
            model_name="auditentry",
            name="hash",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="object_id",
            field=models.CharField(blank=True, db_default="", default="", max_length=255),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="object_type",
            field=models.CharField(
                blank=True,
                choices=[
                    ("rate_sheet", "Rate Sheet"),
                    ("destination_prefix", "Destination"),
                    ("event", "Event"),
                    ("user", "User"),
                    ("group", "Group"),
                    ("migration_run", "Run"),
                ],
                db_default="",
                default="",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="previous_hash",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="sequence",
            field=models.PositiveBigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="credentialread",
            name="hash",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="credentialread",
            name="previous_hash",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="credentialread",
            name="sequence",
            field=models.PositiveBigIntegerField(editable=False, null=True),
        ),
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
                    ("upload_rate_sheet", "Upload Rate Sheet"),
                    ("discard_rate_sheet", "Discard Rate Sheet"),
                    ("publish_again", "Publish Again"),
                    ("reconcile", "Reconcile"),
                    ("roll_back", "Roll Back"),
                    ("load", "Load"),
                    ("log_in", "Log In"),
                    ("log_out", "Log Out"),
                    ("login_failed", "Login Failed"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="operator",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="audit_entries",
                to="operators.operator",
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="version",
            field=models.PositiveBigIntegerField(
                help_text="The version of what was changed, after the change; none where it counts none.", null=True
            ),
        ),
        migrations.RunSQL(sql=install_sql(), reverse_sql=remove_sql()),
        migrations.AddConstraint(
            model_name="auditentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("sequence__isnull", False)), fields=("sequence",), name="auditentry_sequence"
            ),
        ),
        migrations.AddConstraint(
            model_name="credentialread",
            constraint=models.UniqueConstraint(
                condition=models.Q(("sequence__isnull", False)), fields=("sequence",), name="credentialread_sequence"
            ),
        ),
    )
