"""Django's Oracle backend, mended; ENGINE "convstore.database.oracle"."""
