"""The pages about one or some conversations. They translate: what is read is decided in
convstore.archive, what is shown of it in inspection.transcript.
"""
