"""Make the table of who was given which password."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("operators", "0004_routing_in_the_audit_trail"),)

    operations = (
        migrations.CreateModel(
            name="CredentialRead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("operator_id", models.UUIDField(verbose_name="operator ID")),
                (
                    "credential_version",
                    models.PositiveIntegerField(
                        help_text="The version that was asked for; none where there is no such operator.", null=True
                    ),
                ),
                ("caller", models.CharField(help_text="The service behind the certificate.", max_length=64)),
                ("identity", models.CharField(help_text="The certificate's SPIFFE or DNS name.", max_length=2048)),
                (
                    "result",
                    models.CharField(
                        choices=[("ok", "Ok"), ("not_found", "Not Found"), ("vault_error", "Vault Error")],
                        max_length=16,
                    ),
                ),
                ("trace_id", models.CharField(blank=True, default="", max_length=32)),
                ("at", models.DateTimeField()),
            ],
            options={
                "ordering": ("-id",),
                "indexes": (
                    models.Index(fields=["operator_id", "-id"], name="credential_read_by_operator"),
                    models.Index(fields=["caller", "-id"], name="credential_read_by_caller"),
                ),
            },
        ),
    )
