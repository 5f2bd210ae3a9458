"""The event service: standard library and msgspec only, no HTTP, no command line."""
