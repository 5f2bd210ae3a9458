"""What happens in your projects as one ordered, durable, replayable stream."""

__version__ = "0.1.0"
