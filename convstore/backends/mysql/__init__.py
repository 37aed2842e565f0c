"""Django's MySQL backend over PyMySQL; ENGINE "convstore.backends.mysql"."""
