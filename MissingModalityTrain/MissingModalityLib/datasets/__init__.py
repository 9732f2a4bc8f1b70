"""Which cases lie in a folder, in the layouts that data sets come in: names alone, no voxel."""
