"""The other side of Standard Webhooks, in an implementation that shares no line with lastmile's.

sign SECRET... : reads {"id", "at", "body"} from standard input; prints one signature per secret, divided by spaces.
verify SECRET  : reads {"headers", "body"} from standard input; ends with 0 when the package believes it.
"""

import datetime
import json
import sys

from standardwebhooks import Webhook

command, secrets = sys.argv[1], sys.argv[2:]
given = json.load(sys.stdin)
if command == "sign":
    at = datetime.datetime.fromtimestamp(given["at"], tz=datetime.timezone.utc)
    print(" ".join(Webhook(secret).sign(given["id"], at, given["body"]) for secret in secrets))
else:
    Webhook(secrets[0]).verify(given["body"], given["headers"])
