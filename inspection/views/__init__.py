"""The pages about conversations, except their list. Views translate: convstore.archive decides
what is read, and inspection.transcript what a page shows of it.
"""
