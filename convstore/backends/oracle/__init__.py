"""Django's Oracle backend, mended; ENGINE "convstore.backends.oracle"."""
