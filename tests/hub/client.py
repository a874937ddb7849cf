"""A backend in Python. A line of stdin is a request, [number, method, parameters]; a line of stdout is what came: an answer, under its
number, or a notification; {"open": true} when it is connected, {"closed": [code, reason]} when it no longer is.

    client.py ws|rpc URL        the token is in HUB_TOKEN
"""

import asyncio
import json
import os
import sys
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def say(what):
    print(json.dumps(what), flush=True)


def request_of(line):
    number, method, params = json.loads(line)
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}, ensure_ascii=False)


async def over_websocket(url, authorization):
    async with connect(f"ws{url.removeprefix('http')}/ws", additional_headers=authorization, max_size=8 << 20, proxy=None) as socket:

        async def write():
            while line := await asyncio.to_thread(sys.stdin.readline):
                await socket.send(request_of(line))
            await socket.close()

        writing = asyncio.create_task(write())
        say({"open": True})
        try:
            while True:
                say(json.loads(await socket.recv()))
        except ConnectionClosed:
            say({"closed": [socket.close_code, socket.close_reason]})
        writing.cancel()
    # The thread that waits for stdin does not end by itself.
    os._exit(0)


def over_http(url, authorization):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    say({"open": True})
    for line in sys.stdin:
        request = urllib.request.Request(f"{url}/rpc", request_of(line).encode(), authorization)
        with opener.open(request, timeout=90) as answer:
            say(json.loads(answer.read()))


if __name__ == "__main__":
    _, way, url = sys.argv
    authorization = {"Authorization": f"Bearer {os.environ['HUB_TOKEN']}"}
    if way == "ws":
        asyncio.run(over_websocket(url, authorization))
    else:
        over_http(url, authorization)
