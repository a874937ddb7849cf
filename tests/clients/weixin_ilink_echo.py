"""An echo bot on weixin-ilink (PyPI), as its README does it: log in, answer texts, send back files."""
import sys
import time
from pathlib import Path

from weixin_ilink.auth import login_with_qr
from weixin_ilink.client import ILinkClient

base, cdn, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
credentials = login_with_qr(lambda url: print("qr", url, flush=True), base_url=base)
print("in", credentials.account_id, flush=True)
client = ILinkClient(credentials.base_url, credentials.bot_token, cdn_base_url=cdn)
deadline = time.time() + 60
while time.time() < deadline:
    for message in client.poll().get("msgs") or []:
        person, token = message["from_user_id"], message["context_token"]
        client.send_typing(person, token)
        for item in message["item_list"]:
            if item["type"] == 1:
                client.send_text(person, "echo: " + item["text_item"]["text"], token)
                continue
            file = folder / ("received-%d" % item["type"])
            file.write_bytes(client.download_media_item(item))
            send = client.send_image if item["type"] == 2 else client.send_file
            send(person, file, token, caption="back")
