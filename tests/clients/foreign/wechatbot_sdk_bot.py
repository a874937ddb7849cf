"""A bot on wechatbot-sdk (PyPI), as its README does it, for somebody who is logged in already: it finds its file of credentials. Its
hosts are constants; they are set here, its code is as published. It keeps no cursor."""
import asyncio
import sys
from pathlib import Path

import wechatbot.auth
import wechatbot.client
from wechatbot import WeChatBot

base, cdn, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
wechatbot.client.CDN_BASE_URL = cdn
# Where it would log in again, should its token become stale.
wechatbot.auth.FIXED_QR_BASE_URL = base


async def main():
    bot = WeChatBot(base_url=base, cred_path=str(folder / "credentials.json"))
    await bot.login()

    @bot.on_message
    async def answer(message):
        await bot.send_typing(message.user_id)
        media = await bot.download(message)
        if media is not None:
            (folder / (media.file_name or "a-" + media.type)).write_bytes(media.data)
        elif message.text.startswith("#send "):
            path = Path(message.text.removeprefix("#send "))
            await bot.reply_media(message, {"file": path.read_bytes(), "file_name": path.name, "caption": "here"})
        else:
            await bot.reply(message, "echo: " + message.text)

    print("polling", flush=True)
    await bot.start()


asyncio.run(main())
