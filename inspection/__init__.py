"""The admin, where people find, read, export and delete conversations.

memory_api says which databases there are; convstore.archive reads them and deletes from them.
"""
