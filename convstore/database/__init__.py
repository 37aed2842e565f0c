"""Everything about databases: URLs, faults, checks, the migration lock; one folder a vendor."""
