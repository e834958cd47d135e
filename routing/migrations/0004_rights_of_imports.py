"""Make importing a rate sheet and undoing an import rights of their own."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("routing", "0003_lookup_index"),)

    operations = (
        migrations.AlterModelOptions(
            name="ratesheet",
            options={
                "default_permissions": ("view",),
                "ordering": ("-uploaded_at", "id"),
                "permissions": (
                    ("import_ratesheet", "Can upload, preview, apply and throw away rate sheets"),
                    ("undo_ratesheet", "Can undo the import of a rate sheet"),
                ),
            },
        ),
    )
