"""Training: recipes of stages, the one loop that runs them, crops, augmentation and checkpoints."""
