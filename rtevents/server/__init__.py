"""The daemon's face: the same aiohttp application on the Unix socket and on TCP."""
