"""The commands; they parse, wire and print."""
