"""Wake the drainer at each commit that adds events, and keep the outbox's indexes free of dead entries."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("operators", "0001_initial"),)

    operations = (
        # Only a hint: what is published is decided by looking at the table. One notification per statement, and
        # PostgreSQL folds those of one transaction into one.
        migrations.RunSQL(
            sql="""
                CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_notify('ops_outbox', ''); RETURN NULL; END $$;
                CREATE TRIGGER outbox_notify AFTER INSERT ON operators_outboxevent
                FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox();
            """,
            reverse_sql="""
                DROP TRIGGER outbox_notify ON operators_outboxevent;
                DROP FUNCTION notify_outbox();
            """,
        ),
        # Every row is updated once soon after it came: vacuum early, or the partial indexes fill with dead entries.
        migrations.RunSQL(
            sql="ALTER TABLE operators_outboxevent SET "
            "(autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05, fillfactor = 80);",
            reverse_sql="ALTER TABLE operators_outboxevent RESET "
            "(autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor, fillfactor);",
        ),
    )
