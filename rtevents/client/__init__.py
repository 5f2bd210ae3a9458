"""Talking to the daemon: `sync` on the standard library, `asyncio` on aiohttp; the same names."""
