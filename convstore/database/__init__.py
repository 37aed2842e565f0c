"""Django database backends of our own, where Django's needs something more."""
