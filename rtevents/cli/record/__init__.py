"""Recordings of the stream: export, import, replay."""
