"""Give every operator that exists its status; from now on its creation does."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("health", "0002_report_log"),)

    operations = (
        # Each row is rewritten at every report, and no index holds what changes: leave room for it on its page.
        # Before there are rows: the check of their key waits for the commit, and PostgreSQL alters no table meanwhile.
        migrations.RunSQL(
            "ALTER TABLE operator_health_status SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)",
            "ALTER TABLE operator_health_status RESET (fillfactor, autovacuum_vacuum_scale_factor)",
        ),
        migrations.RunSQL(
            """
            INSERT INTO operator_health_status
                (operator_id, state, reason, connector_id, bind_state, effective_state, effective_reason, sequence)
            SELECT id, 'UNKNOWN', '', '', '', 'UNKNOWN', '', 0 FROM operators_operator
            ON CONFLICT DO NOTHING
            """,
            migrations.RunSQL.noop,
        ),
    )
