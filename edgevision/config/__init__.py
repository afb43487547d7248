"""The settings of a user: their models, reading them from a file, and reporting faults in it.

Imports only the files at the top of the package.
"""
