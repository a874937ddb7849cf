"""A bot on weixin-ilink (PyPI), as its README does it, for somebody who is logged in already: it starts from a file of credentials, and
keeps its cursor beside it."""
import sys
from pathlib import Path

from weixin_ilink import WeixinBot

cdn, folder = sys.argv[1], Path(sys.argv[2])
# The CDN is for servers that give no full addresses.
bot = WeixinBot(credentials_file=folder / "credentials.json", cdn_base_url=cdn)


@bot.on_message
def answer(message):
    message.reply_typing()
    if not message.is_text:
        message.save(folder / (message.file_name or "item-%d" % message.item_type))
    elif message.text.startswith("#send "):
        path = Path(message.text.removeprefix("#send "))
        send = message.reply_image if path.suffix == ".png" else message.reply_file
        send(path, caption="here")
    else:
        message.reply_text("echo: " + message.text)


print("polling", flush=True)
bot.run()
