"""Frames from cameras, streams, recordings and image folders."""
