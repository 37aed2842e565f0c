"""The pages about conversations, except their list.

A view translates between HTTP and the rest: convstore.archive reads and deletes, and
inspection.transcript decides what a page shows of a message.
"""
