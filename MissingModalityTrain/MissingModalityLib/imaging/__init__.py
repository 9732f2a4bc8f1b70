"""Voxels: read, brought onto one grid, kept, and brought back."""
