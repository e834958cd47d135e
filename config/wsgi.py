"""The WSGI entry point: `gunicorn config.wsgi -c config/gunicorn.py`."""

from __future__ import annotations

import os
import sys

from django.core.checks import run_checks
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

# A server starts without manage.py, which would have run them.
if faults := [message for message in run_checks() if message.is_serious() and not message.is_silenced()]:
    sys.exit("\n".join(str(message) for message in faults))
