"""The log of reports: a table partitioned by day, which pg_partman keeps supplied with partitions."""

from __future__ import annotations

from django.db import migrations, models

LOG = """
    CREATE TABLE operator_health_log (
        event_id uuid NOT NULL,
        operator_id uuid NOT NULL,
        connector_id varchar(128) NOT NULL,
        observed_at timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        bind_state varchar(8) NOT NULL,
        error_rate double precision NOT NULL,
        bind_error varchar(128),
        latency_ms integer,
        PRIMARY KEY (event_id, observed_at)
    ) PARTITION BY RANGE (observed_at);
    -- Charts and sparklines are answered from this index alone: an operator's reports lie scattered over the table.
    CREATE INDEX health_log_by_operator ON operator_health_log (operator_id, observed_at)
        INCLUDE (error_rate, latency_ms, bind_state);
"""

# The extension may lie in any schema. Version 5 renamed the interval and dropped the type 'native'; only with
# infinite_time_partitions are partitions made ahead while the log is empty or its reports have stopped.
PARTITIONS = """
    DO $$
    DECLARE
        partman text;
        version int;
        parent text := format('%s.operator_health_log', current_schema());
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_partman') THEN
            CREATE SCHEMA IF NOT EXISTS partman;
            CREATE EXTENSION pg_partman SCHEMA partman;
        END IF;
        SELECT quote_ident(nspname), split_part(extversion, '.', 1)::int INTO STRICT partman, version
            FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_partman';
        EXECUTE format('SELECT %s.create_parent(p_parent_table => $1, p_control => ''observed_at'', '
                       'p_interval => $2, p_type => $3, p_premake => 7)', partman)
            USING parent,
                  CASE WHEN version < 5 THEN 'daily' ELSE '1 day' END,
                  CASE WHEN version < 5 THEN 'native' ELSE 'range' END;
        EXECUTE format('UPDATE %s.part_config SET infinite_time_partitions = true WHERE parent_table = $1', partman)
            USING parent;
    END $$;
"""
NO_PARTITIONS = """
    DO $$
    DECLARE
        partman text;
        template text;
        parent text := format('%s.operator_health_log', current_schema());
    BEGIN
        -- What maintenance may have set aside when it was killed.
        DROP TABLE IF EXISTS operator_health_log_aside;
        SELECT quote_ident(nspname) INTO partman
            FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_partman';
        IF partman IS NOT NULL THEN
            EXECUTE format('DELETE FROM %s.part_config WHERE parent_table = $1 RETURNING template_table', partman)
                INTO template USING parent;
        END IF;
        IF template IS NOT NULL THEN
            EXECUTE format('DROP TABLE IF EXISTS %I.%I', split_part(template, '.', 1), split_part(template, '.', 2));
        END IF;
    END $$;
"""


class Migration(migrations.Migration):
    dependencies = (("health", "0001_initial"),)

    operations = (
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(LOG, "DROP TABLE operator_health_log")],
            state_operations=[
                migrations.CreateModel(
                    name="HealthReport",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "event_id", "observed_at", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("event_id", models.UUIDField()),
                        ("operator_id", models.UUIDField()),
                        ("connector_id", models.CharField(max_length=128)),
                        ("observed_at", models.DateTimeField()),
                        (
                            "received_at",
                            models.DateTimeField(help_text="When the broker took the report, by its clock."),
                        ),
                        ("bind_state", models.CharField(max_length=8)),
                        ("error_rate", models.FloatField()),
                        ("bind_error", models.CharField(max_length=128, null=True)),
                        ("latency_ms", models.IntegerField(null=True)),
                    ],
                    options={
                        "db_table": "operator_health_log",
                        "default_permissions": (),
                    },
                ),
            ],
        ),
        migrations.RunSQL(PARTITIONS, NO_PARTITIONS),
    )
