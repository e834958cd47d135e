"""Ask this pod's internal listener how it is: `python -m config.probe ready`, or `live`.

A kubelet has no client certificate, so that its probe runs this here, with the pod's own pair: the issuer has to allow
that for servers and clients. Nothing is imported that would make a probe slow.
"""

from __future__ import annotations

import os
import ssl
import sys
from http.client import HTTPException, HTTPSConnection

SECONDS = 4.0


def main(arguments: list[str]) -> int | str:
    """Return what sys.exit takes: 0, or 1 or a text where the listener is not well or cannot be asked."""
    if arguments not in (["live"], ["ready"]):
        return "usage: python -m config.probe live|ready"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The certificate names the service, not this pod's loopback address; who signed it is still checked.
        context.check_hostname = False
        context.load_verify_locations(os.environ["INTERNAL_TLS_CA"])
        context.load_cert_chain(os.environ["INTERNAL_TLS_CERT"], os.environ["INTERNAL_TLS_KEY"])
        port = int(os.environ.get("INTERNAL_PORT", "3021"))
        connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=SECONDS)
        connection.request("GET", f"/health/{arguments[0]}")
        answer = connection.getresponse()
        sys.stdout.write(f"{answer.read().decode()}\n")
        connection.close()
    except (OSError, HTTPException, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
