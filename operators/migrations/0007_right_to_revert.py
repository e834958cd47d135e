"""Make going back to the previous password a right of its own."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("operators", "0006_audit_chain"),)

    operations = (
        migrations.AlterModelOptions(
            name="operator",
            options={
                "ordering": ("name", "id"),
                "permissions": (
                    ("change_operator_status", "Can activate, suspend and deactivate operators"),
                    ("rotate_credential", "Can give an operator a new password"),
                    ("revert_credential", "Can go back to an operator's previous password"),
                    ("restore_operator", "Can restore a deleted operator"),
                ),
            },
        ),
    )
