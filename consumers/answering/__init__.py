"""Requests answered by the worker, between its batches of ratings."""
