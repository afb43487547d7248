"""What a user can set, how a file of it is read, and what is said of a bad one.

Imports the files at the top only.
"""
