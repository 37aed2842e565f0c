"""The admin: people find, read, export and delete conversations.

It gets the list of databases from memory_api, and all their content from convstore.archive.
"""
