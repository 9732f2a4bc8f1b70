"""Left against right: the mid-sagittal plane, what differs from its mirror image, and tumors made of that."""
