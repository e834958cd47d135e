"""Settings of every process, by environment. Wrong values are refused here or reported by a system check."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config.env import BASE_DIR, assignments, bounded, env, flag, load_local_env, networks, process_name, seconds

load_local_env()

ENVIRONMENT = str(env.str("OPS_ENV", default="production"))
if ENVIRONMENT not in {"development", "test", "production"}:
    raise ImproperlyConfigured(f"OPS_ENV must be development, test or production, not {ENVIRONMENT!r}.")
PRODUCTION = ENVIRONMENT == "production"
PROCESS_NAME = process_name()
# Which of the two web processes this is: console and admin API, or the internal API (config.internal_wsgi says so).
LISTENER = str(env.str("OPS_LISTENER", default="console"))
if LISTENER not in {"console", "internal"}:
    raise ImproperlyConfigured(f"OPS_LISTENER must be console or internal, not {LISTENER!r}.")
SERVICE_NAME = "operator-management-service"

SECRET_KEY = str(env.str("SECRET_KEY"))
DEBUG = False  # error pages with local variables have no place in a service that handles passwords
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])

INSTALLED_APPS = [
    "config.apps.OpsAdminConfig",
    "config",
    "operators",
    "health",
    "routing",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_filters",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "axes",
]

CONSOLE_MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "config.middleware.RequestContextMiddleware",
    "config.middleware.SecurityHeadersMiddleware",
    "config.middleware.ProbesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.sessions.SessionLimitsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.stafftrail.StaffTrailMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.StoresAwayMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
    "axes.middleware.AxesMiddleware",
]

# Nobody has a session there, and nothing is a page.
INTERNAL_MIDDLEWARE = [
    "config.middleware.RequestContextMiddleware",
    "config.middleware.SecurityHeadersMiddleware",
    "config.middleware.ProbesMiddleware",
    "config.middleware.StoresAwayMiddleware",
    "config.requestmetrics.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "config.serverspan.ServerSpanMiddleware",
    "django.middleware.common.CommonMiddleware",
]
MIDDLEWARE = INTERNAL_MIDDLEWARE if LISTENER == "internal" else CONSOLE_MIDDLEWARE
# The admin app and the lock-out ask for middleware of the console, which the internal listener does not serve.
SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409", "admin.E410", "axes.W002"] if LISTENER == "internal" else []

ROOT_URLCONF = "config.internal_urls" if LISTENER == "internal" else "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- PostgreSQL -----------------------------------------------------------------------------------------------------
DATABASE_SCHEMA = "ops"
STATEMENT_TIMEOUT = seconds("DATABASE_STATEMENT_TIMEOUT", default=15, low=1, high=3600)
LOCK_TIMEOUT = seconds("DATABASE_LOCK_TIMEOUT", default=5, low=0.1, high=600)
DATABASES: dict[str, dict[str, Any]] = {"default": env.db("DATABASE_URL")}
DATABASES["default"] |= {
    "ENGINE": "config.postgresql",  # django_prometheus's, with a bounded health check
    "CONN_MAX_AGE": 600,
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        **DATABASES["default"].get("OPTIONS", {}),
        "application_name": f"ops-{PROCESS_NAME}",
        "connect_timeout": 2,
        # A peer that vanished without a FIN is noticed in seconds, not in the kernel's quarter of an hour.
        "tcp_user_timeout": 5000,
        "options": (
            f"-c search_path={DATABASE_SCHEMA},public -c statement_timeout={int(STATEMENT_TIMEOUT * 1000)} "
            f"-c lock_timeout={int(LOCK_TIMEOUT * 1000)} -c idle_in_transaction_session_timeout=60000"
        ),
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Vault ----------------------------------------------------------------------------------------------------------
VAULT_ADDR = str(env.str("VAULT_ADDR"))
VAULT_MOUNT = str(env.str("VAULT_MOUNT", default="secret"))
VAULT_CONNECT_TIMEOUT = seconds("VAULT_CONNECT_TIMEOUT", default=1, low=0.05, high=10)
VAULT_READ_TIMEOUT = seconds("VAULT_READ_TIMEOUT", default=2, low=0.05, high=30)
# The authority that signed Vault's certificate, where it is not one that the system knows.
VAULT_CACERT = str(env.str("VAULT_CACERT", default=""))
# Each process is given only its own role's token; VAULT_TOKEN stands in for all of them.
VAULT_TOKENS = {
    role: str(env.str(f"VAULT_{role.upper()}_TOKEN", default="") or env.str("VAULT_TOKEN", default=""))
    for role in ("admin", "internal", "reconciler", "bootstrap")
}
# Kubernetes auth takes over when a role has no token: the file is read anew at each login, for it rotates.
VAULT_KUBERNETES_MOUNT = str(env.str("VAULT_KUBERNETES_MOUNT", default="kubernetes"))
VAULT_KUBERNETES_TOKEN_FILE = str(
    env.str("VAULT_KUBERNETES_TOKEN_FILE", default="/var/run/secrets/kubernetes.io/serviceaccount/token")
)
VAULT_KUBERNETES_NAMESPACE = str(env.str("VAULT_KUBERNETES_NAMESPACE", default="ops"))
# Soft-deleted passwords are kept as long as the database's backups, so that a restored row finds its version.
CREDENTIAL_RETENTION_DAYS = bounded("CREDENTIAL_RETENTION_DAYS", default=35, low=1, high=3650)

# --- NATS JetStream -------------------------------------------------------------------------------------------------
NATS_URL = str(env.str("NATS_URL"))
NATS_REPLICAS = bounded("NATS_REPLICAS", default=1, low=1, high=5)
OUTBOX_BATCH = bounded("OUTBOX_BATCH", default=500, low=1, high=5000)
OUTBOX_MAX_ATTEMPTS = bounded("OUTBOX_MAX_ATTEMPTS", default=8, low=1, high=100)
# Published rows stay this long, so that what a broker lost can be published again (replay_events).
OUTBOX_RETENTION_DAYS = bounded("OUTBOX_RETENTION_DAYS", default=14, low=1, high=3650)

# --- Health ---------------------------------------------------------------------------------------------------------
# Whole days of reports that are kept; the console charts a week.
HEALTH_LOG_RETENTION_DAYS = bounded("HEALTH_LOG_RETENTION_DAYS", default=35, low=8, high=3650)
HEALTH_LOG_PREMAKE_DAYS = bounded("HEALTH_LOG_PREMAKE_DAYS", default=7, low=2, high=60)
# Reports in one transaction; what came in the meantime is the next batch, so that a larger one delays nothing.
HEALTH_BATCH = bounded("HEALTH_BATCH", default=1000, low=1, high=5000)

# --- Routing --------------------------------------------------------------------------------------------------------
# A rate sheet that moves a price further than this has to be confirmed.
RATE_CHANGE_GUARD_PERCENT = bounded("RATE_CHANGE_GUARD_PERCENT", default=30, low=1, high=100_000)

# --- Identity of API callers ----------------------------------------------------------------------------------------
JWT_ISSUER = str(env.str("JWT_ISSUER", default=""))
JWT_AUDIENCE = str(env.str("JWT_AUDIENCE", default=SERVICE_NAME))
JWT_JWKS_URL = str(env.str("JWT_JWKS_URL", default=""))
# A path instead of a URL where the key set is mounted as a file (env.str, for X_FILE has a meaning of its own here).
JWT_JWKS_PATH = str(env.str("JWT_JWKS_PATH", default=""))
JWT_DEV_KEY_PATH = str(env.str("JWT_DEV_KEY_PATH", default=""))
# A token that lives longer is refused, whoever signed it: nobody can take it back.
JWT_LONGEST_LIFE = seconds("JWT_LONGEST_LIFE", default=86_400, low=60, high=31_536_000)
JWT_LEEWAY = seconds("JWT_LEEWAY", default=10, low=0, high=120)
IDEMPOTENCY_HOURS = bounded("IDEMPOTENCY_HOURS", default=24, low=1, high=720)

# --- Callers of the internal API ------------------------------------------------------------------------------------
# smpp-connector=spiffe://TRUST-DOMAIN/PATH|dns:NAME;routing-engine=...: whose certificates may ask, compared exactly.
INTERNAL_CALLERS = assignments("INTERNAL_CALLERS")
# Without TLS of its own the listener stands behind a mesh's proxy, and believes what that says of the caller.
INTERNAL_TLS = flag("INTERNAL_TLS", default=True)
INTERNAL_TLS_FILES = {
    name: str(env.str(name, default="")) for name in ("INTERNAL_TLS_CERT", "INTERNAL_TLS_KEY", "INTERNAL_TLS_CA")
}
INTERNAL_XFCC_PROXIES = networks("INTERNAL_XFCC_PROXIES")
# How many passwords one caller may read, in each worker process: in the long run, and at once.
CREDENTIALS_PER_SECOND = bounded("CREDENTIALS_PER_SECOND", default=250, low=1, high=100_000)
CREDENTIALS_BURST = bounded("CREDENTIALS_BURST", default=500, low=1, high=100_000)

# --- REST -----------------------------------------------------------------------------------------------------------
# What one caller may do in each worker process: calls in the long run and at once, and uploads of rate sheets.
ADMIN_API_PER_SECOND = bounded("ADMIN_API_PER_SECOND", default=50, low=1, high=100_000)
ADMIN_API_BURST = bounded("ADMIN_API_BURST", default=200, low=1, high=1_000_000)
UPLOADS_PER_MINUTE = bounded("UPLOADS_PER_MINUTE", default=30, low=1, high=100_000)
UPLOADS_BURST = bounded("UPLOADS_BURST", default=30, low=1, high=1_000_000)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["config.identity.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["config.identity.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["operators.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "operators.api.pagination.PageLimitPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["config.throttling.CallerThrottle"],
    "EXCEPTION_HANDLER": "config.problems.problem_handler",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": False,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "DEFAULT_GENERATOR_CLASS": "config.schema.Generator",
    "TITLE": "Operator Management Service",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/v1/",
    "COMPONENT_SPLIT_REQUEST": True,
    "CAMELIZE_NAMES": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "StatusEnum": "operators.models.Status.values",
        "HealthStateEnum": "operators.models.HealthState.values",
        "OverrideStateEnum": "health.actions.OVERRIDES",
        "TransitionReasonEnum": "health.models.TransitionReason.values",
        "DeadReasonEnum": "health.reports.DeadReason",
        "RateSheetStatusEnum": "routing.models.SheetStatus.values",
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = bounded("MAX_BODY_BYTES", default=1_048_576, low=1024, high=104_857_600)
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000
FILE_UPLOAD_HANDLERS = ["config.uploads.NoFile"]

# --- Console --------------------------------------------------------------------------------------------------------
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first, so that nobody who is locked out reaches the password
    "django.contrib.auth.backends.ModelBackend",
]
# Failures of one name from one address, and of all names from one address, until neither is looked at for a while.
LOGIN_FAILURES = bounded("LOGIN_FAILURES", default=5, low=1, high=100)
LOGIN_FLOOD = bounded("LOGIN_FLOOD", default=50, low=1, high=100_000)
LOGIN_COOL_OFF_MINUTES = bounded("LOGIN_COOL_OFF_MINUTES", default=15, low=1, high=1440)
# How many proxies of ours append to X-Forwarded-For; 0 believes the peer's address alone.
TRUSTED_PROXIES = bounded("TRUSTED_PROXIES", default=0, low=0, high=10)
AXES_HANDLER = "config.lockouts.LockoutHandler"
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_COOLOFF_TIME = timedelta(minutes=LOGIN_COOL_OFF_MINUTES)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "config.lockouts.name_to_count"
AXES_CLIENT_IP_CALLABLE = "config.addresses.client_address"
AXES_LOCKOUT_CALLABLE = "config.lockouts.locked_page"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
SESSION_COOKIE_AGE = 8 * 3600
SESSION_IDLE = 60 * bounded("SESSION_IDLE_MINUTES", default=60, low=1, high=480)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- Web hardening --------------------------------------------------------------------------------------------------
# Plain HTTP is for loopback alone; HTTPS_ONLY=false says that a proxy in front keeps its own rules.
HTTPS_ONLY = flag("HTTPS_ONLY", default=PRODUCTION)
SECURE_SSL_REDIRECT = HTTPS_ONLY and LISTENER == "console"
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$", r"^v1/"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY
SECURE_HSTS_PRELOAD = HTTPS_ONLY
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
# A browser takes a cookie of such a name only over HTTPS, for the whole host and for no other.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = (
    ("__Host-sessionid", "__Host-csrftoken") if HTTPS_ONLY else ("sessionid", "csrftoken")
)
if flag("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER = "config.redaction.SecretReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "config.redaction.SecretReporterFilter"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

# --- Static files, language, time -----------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / ".static"))) if PRODUCTION else None
STATICFILES_DIRS = [BASE_DIR / "config" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
# Outside production the files are served where they lie, so that `make run` needs no collectstatic.
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_ALLOW_ALL_ORIGINS = False
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"

# --- Logs, metrics, spans -------------------------------------------------------------------------------------------
LOG_LEVEL = str(env.str("LOG_LEVEL", default="INFO")).upper()
LOGGING_CONFIG = "config.logs.configure"
LOGGING = {"level": LOG_LEVEL}
OTLP_ENDPOINT = str(env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default=""))
PROMETHEUS_METRIC_NAMESPACE = ""
PROMETHEUS_EXPORT_MIGRATIONS = False
HOST = str(env.str("HOST", default="0.0.0.0"))  # noqa: S104 - a pod listens on its address
METRICS_PORT = bounded("METRICS_PORT", default=0, low=0, high=65535)
