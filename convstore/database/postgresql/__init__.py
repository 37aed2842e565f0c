"""Django's PostgreSQL backend with a time limit; ENGINE "convstore.database.postgresql"."""
