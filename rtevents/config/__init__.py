"""Config: every setting, where files are, and how both are read and shown."""
