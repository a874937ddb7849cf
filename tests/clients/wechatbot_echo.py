"""The same on wechatbot-sdk (PyPI). It has its hosts as constants; they are set here, its code is as published."""
import asyncio
import sys
from pathlib import Path

import wechatbot.auth
import wechatbot.client
from wechatbot import WeChatBot

base, cdn, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
wechatbot.auth.FIXED_QR_BASE_URL = base
wechatbot.client.CDN_BASE_URL = cdn


async def main():
    bot = WeChatBot(
        base_url=base,
        cred_path=str(folder / "credentials.json"),
        on_qr_url=lambda url: print("qr", url, flush=True),
    )
    credentials = await bot.login()
    print("in", credentials.account_id, flush=True)

    @bot.on_message
    async def answer(message):
        await bot.send_typing(message.user_id)
        media = await bot.download(message)
        if media is None:
            await bot.reply(message, "echo: " + message.text)
        elif media.type == "image":
            await bot.reply_media(message, {"image": media.data, "caption": "back"})
        else:
            await bot.reply_media(message, {"file": media.data, "file_name": media.file_name or "file", "caption": "back"})

    await asyncio.wait_for(bot.start(), 60)


asyncio.run(main())
