"""Whether posts are signed as the published library of Standard Webhooks has it. A line of stdin is [secret, headers, body]; a line of
stdout is "ok", or why it is not."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    secret, headers, body = json.loads(line)
    try:
        Webhook(secret).verify(body, headers)
        print("ok")
    except WebhookVerificationError as error:
        print(f"refused: {error}")
