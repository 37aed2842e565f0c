"""The admin: conversations found, read, taken away and deleted by people.

It stands on the memories, which say what databases there are, and on the store's reading.
"""
