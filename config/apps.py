"""The two apps of the house itself: the console's site, and what the settings need at start."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class OpsAdminConfig(admin_apps.AdminConfig):
    default = False  # settings name this class; without the mark Django could not tell which one "config" means
    default_site = "config.admin.OpsAdminSite"


class ConfigConfig(AppConfig):
    default = True
    name = "config"

    def ready(self) -> None:
        # Importing registers the system checks, the signals' receivers and, after Django's own, the pages of staff.
        from config import checks, failedlogins, sessions, staff, stafftrail, telemetry  # noqa: F401

        telemetry.configure()
