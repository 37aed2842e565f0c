"""Django's MySQL backend over PyMySQL; ENGINE "convstore.database.mysql"."""
