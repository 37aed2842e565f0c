"""The pages about one or some conversations. They translate: what is read is decided in
convstore.reading and convstore.searching, what is shown of it in inspection.transcript.
"""
