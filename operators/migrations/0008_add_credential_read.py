"""Write down a read of a password in one call, which commits twice: once for the row, once for the disk."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("operators", "0007_right_to_revert"),)

    operations = (
        # The chain's lock lasts until the commit is done. Waiting for the disk while holding it would let only one
        # read pass per flush, so the row is committed without waiting, and the second commit, which holds nothing,
        # waits for all that came before it: many connections then share one flush.
        migrations.RunSQL(
            sql="""
                CREATE PROCEDURE add_credential_read(
                    operator uuid, version int, caller text, identity text, result text, trace text, moment timestamptz
                ) LANGUAGE plpgsql AS $$
                BEGIN
                    PERFORM set_config('synchronous_commit', 'off', true);
                    INSERT INTO operators_credentialread
                        (operator_id, credential_version, caller, identity, result, trace_id, at)
                    VALUES (operator, version, caller, identity, result, trace, moment);
                    COMMIT;
                    PERFORM pg_logical_emit_message(true, 'audit', '');
                END $$;
            """,
            reverse_sql="DROP PROCEDURE add_credential_read;",
        ),
    )
