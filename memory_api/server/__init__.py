"""A worker class for gunicorn that no client can stop: threads see whole requests only.

    client -> worker (one loop) -> incoming -> queue -> thread -> replies -> worker -> client

Connections wait in the worker's loop until a request is whole. Only then a thread gets it. What
a client does not read of its reply at once, the loop sends.
"""
